using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.UnitTests.Log;

/// <summary>What a failing disk does to appends and their callers.</summary>
public sealed class RocksDbFailureTests : IAsyncLifetime, IDisposable
{
    private static readonly ChannelId Channel = new("default", "room:1");

    private readonly TempFolder _folder = new();
    private readonly StoreFaults _faults = new();
    private RocksDbMessageLog _log = null!;

    public Task InitializeAsync()
    {
        _log = Logs.Open(_folder.Path, faults: _faults);
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _log.DisposeAsync();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_failed_write_fails_its_whole_group_and_is_not_stored()
    {
        var head = await AppendAsync(1);
        using var hold = new ManualResetEventSlim();
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var writes = 0;
        _faults.BeforeWrite = () =>
        {
            if (++writes == 1)
            {
                entered.SetResult();
                hold.Wait();
            }
            else if (writes == 2)
            {
                throw new IOException("injected");
            }
        };

        // The first group is under way while the second, of three channels, gathers.
        var before = Append(head);
        await entered.Task;
        var others = Enumerable.Range(0, 3).Select(i => new ChannelId("default", $"other:{i}")).ToArray();
        var failing = await Task.WhenAll(others.Select(async c => (c, head: (await _log.GetHeadAsync(c)).Position)));
        var appends = failing.Select(f => _log.AppendAsync(Request(f.c, f.head, 1)).AsTask()).ToList();
        appends.Add(Append(head with { Offset = 2 }));
        hold.Set();

        Assert.Equal(AppendStatus.Appended, (await before).Status);
        foreach (var append in appends) await Assert.ThrowsAsync<LogUnavailableException>(() => append);

        await Logs.HealedAsync(_log, _faults);
        Assert.Equal(2, (await _log.GetHeadAsync(Channel)).Head);
        foreach (var other in others) Assert.Equal(0, (await _log.GetHeadAsync(other)).Head);

        // Heads in memory were of the failed group; they must not be.
        Assert.Equal(AppendStatus.HeadMoved, (await Append(head with { Offset = 3 })).Status);
        Assert.Equal(AppendStatus.Appended, (await Append(head with { Offset = 2 })).Status);
    }

    [Fact]
    public async Task A_write_that_was_stored_but_failed_is_resolved_by_head_and_key()
    {
        var head = await AppendAsync(1);
        _faults.AfterWrite = () =>
        {
            _faults.AfterWrite = null;
            throw new IOException("injected");
        };
        await Assert.ThrowsAsync<LogUnavailableException>(() => Append(head, "key"));
        await Logs.HealedAsync(_log, _faults);

        var retry = await Append(head, "key");
        Assert.Equal(AppendStatus.HeadMoved, retry.Status);
        Assert.Equal(2, retry.Head.Offset);
        var again = await Append(retry.Head, "key");
        Assert.Equal(new SeenKey(0, 2), Assert.Single(again.Seen));
    }

    [Fact]
    public async Task While_it_cannot_write_it_says_so_at_once_and_still_reads()
    {
        var head = await AppendAsync(3);
        var full = true;
        var attempts = 0;
        var tried = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _faults.BeforeWrite = () => Fail(full);
        _faults.BeforeReopen = () =>
        {
            if (++attempts == 2) tried.SetResult();
            Fail(full);
        };
        var refusal = await Assert.ThrowsAsync<LogUnavailableException>(() => Append(head));
        Assert.Contains("disk of the data directory is full", refusal.Message, StringComparison.Ordinal);
        await tried.Task;
        for (var i = 0; i < 10; i++) await Assert.ThrowsAsync<LogUnavailableException>(() => Append(head));
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await _log.PurgeAsync(Channel));
        Assert.Equal(3, (await _log.ReadAsync(Channel, 0, 10)).Messages.Count);
        Assert.Equal(head, (await _log.GetHeadAsync(Channel)).Position);

        full = false;
        await Logs.HealedAsync(_log, _faults);
        Assert.Equal(AppendStatus.Appended, (await Append(head)).Status);
    }

    [Fact]
    public async Task Disposal_fails_what_waits()
    {
        var head = await AppendAsync(1);
        using var hold = new ManualResetEventSlim();
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _faults.BeforeWrite = () =>
        {
            entered.TrySetResult();
            hold.Wait();
        };
        var writing = Append(head);
        await entered.Task;
        var waiting = Append(head with { Offset = 2 });
        var disposal = _log.DisposeAsync().AsTask();
        await Assert.ThrowsAsync<LogUnavailableException>(() => Append(head with { Offset = 3 }));
        hold.Set();

        // What was being written is answered truthfully; what had not begun fails.
        Assert.Equal(AppendStatus.Appended, (await writing).Status);
        await Assert.ThrowsAsync<LogUnavailableException>(() => waiting);
        await disposal;
    }

    [Fact]
    public async Task Disposal_ends_the_attempts_to_heal()
    {
        var head = await AppendAsync(1);
        _faults.BeforeWrite = () => Fail(true);
        _faults.BeforeReopen = () => Fail(true);
        await Assert.ThrowsAsync<LogUnavailableException>(() => Append(head));
        await _log.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromMinutes(1));
    }

    [Fact]
    public async Task A_full_queue_makes_callers_wait_and_loses_nothing()
    {
        var head = (await _log.GetHeadAsync(Channel)).Position;
        using var hold = new ManualResetEventSlim();
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _faults.BeforeWrite = () =>
        {
            entered.TrySetResult();
            hold.Wait();
        };

        // 100 MB at once: several times what the queue takes, in groups of a few megabytes.
        var payload = new byte[1024 * 1024];
        var appends = new List<Task<AppendResult>> { Big(0) };
        await entered.Task;
        for (var i = 1; i < 100; i++) appends.Add(Big(i));
        using var impatient = new CancellationTokenSource();
        var given = _log.AppendAsync(Request(Channel, head with { Offset = 100 }, 1), impatient.Token).AsTask();
        await impatient.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given);
        hold.Set();
        _faults.BeforeWrite = null;
        var results = await Task.WhenAll(appends);
        Assert.All(results, r => Assert.Equal(AppendStatus.Appended, r.Status));
        Assert.Equal(100, (await _log.GetHeadAsync(Channel)).Head);
        Assert.True(_log.Store.Writer.Groups >= 20);

        Task<AppendResult> Big(int i) => _log.AppendAsync(new AppendRequest
        {
            Channel = Channel,
            ExpectedHead = head with { Offset = i },
            Messages = [new Message { Offset = i + 1, At = 1, Payload = Payload.Binary(payload) }],
            KeyWindow = TimeSpan.FromHours(1),
        }).AsTask();
    }

    [Fact]
    public async Task A_disk_that_is_really_full_refuses_and_heals()
    {
        if (!OperatingSystem.IsLinux()) return;
        using var folder = new TempFolder();
        using var child = Child.StartWithFileLimit(3072, "full", folder.Path);
        var output = await child.Output.ReadToEndAsync().WaitAsync(TimeSpan.FromMinutes(5));
        Assert.True(await child.WaitAsync() == 0, output);
        Assert.Contains("full at", output, StringComparison.Ordinal);
        Assert.Contains("disk of the data directory is full", output, StringComparison.Ordinal);
        Assert.Contains("healed at", output, StringComparison.Ordinal);
    }

    private static void Fail(bool full)
    {
        if (full) throw new IOException("No space left on device", OperatingSystem.IsWindows() ? unchecked((int)0x80070070) : 28);
    }

    private static AppendRequest Request(ChannelId channel, Position head, int count, string? key = null) => new()
    {
        Channel = channel,
        ExpectedHead = head,
        Messages = [.. Enumerable.Range(1, count).Select(i => new Message
        {
            Offset = head.Offset + i,
            At = 1,
            Payload = Payload.Json(Encoding.UTF8.GetBytes($"{head.Offset + i}")),
            Key = key,
        })],
        KeyWindow = TimeSpan.FromHours(1),
    };

    private Task<AppendResult> Append(Position head, string? key = null) => _log.AppendAsync(Request(Channel, head, 1, key)).AsTask();

    private async Task<Position> AppendAsync(int count) =>
        (await _log.AppendAsync(Request(Channel, (await _log.GetHeadAsync(Channel)).Position, count))).Head;
}

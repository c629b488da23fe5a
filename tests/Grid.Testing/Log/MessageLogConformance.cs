using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Grid.Testing.Log;

/// <summary>
/// What every <see cref="IMessageLog"/> must do, whatever it stands on. Inherit, open the log, and all of these run against it.
/// </summary>
public abstract partial class MessageLogConformance : IAsyncLifetime
{
    /// <summary>The window of keys where a test does not say.</summary>
    protected static readonly TimeSpan Day = TimeSpan.FromHours(24);

    /// <summary>The log under test.</summary>
    protected IMessageLog Log { get; private set; } = null!;

    /// <summary>The log's clock.</summary>
    protected FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));

    /// <summary>Whether what was appended is there after <see cref="ReopenAsync"/>.</summary>
    protected abstract bool Durable { get; }

    /// <summary>Opens the log over the same data each time.</summary>
    protected abstract Task<IMessageLog> OpenAsync();

    /// <summary>Closes what <see cref="OpenAsync"/> opened.</summary>
    protected abstract Task CloseAsync();

    public virtual async Task InitializeAsync() => Log = await OpenAsync();

    public virtual Task DisposeAsync() => CloseAsync();

    /// <summary>Closes and opens again, as after a restart.</summary>
    protected async Task ReopenAsync()
    {
        await CloseAsync();
        Log = await OpenAsync();
    }

    protected static ChannelId Channel(string name = "room:1", string tenant = "default") => new(tenant, name);

    /// <summary>A message with a text payload.</summary>
    protected Message Text(long offset, string text, string? key = null, string? eventName = null, string? from = null) => new()
    {
        Offset = offset,
        At = Time.GetUtcNow().ToUnixTimeMilliseconds(),
        Payload = Payload.Json(Encoding.UTF8.GetBytes($"\"{text}\"")),
        Key = key,
        Event = eventName,
        From = from,
    };

    /// <summary>Appends texts at the head, which must be where the log says it is.</summary>
    protected async Task<Position> AppendAsync(ChannelId channel, params string[] texts)
    {
        var head = (await Log.GetHeadAsync(channel)).Position;
        var result = await Log.AppendAsync(Request(head, channel, [.. texts.Select((t, i) => Text(head.Offset + 1 + i, t))]));
        Assert.Equal(AppendStatus.Appended, result.Status);
        return result.Head;
    }

    protected static AppendRequest Request(Position expected, ChannelId channel, params Message[] messages) => new()
    {
        Channel = channel,
        ExpectedHead = expected,
        Messages = messages,
        KeyWindow = Day,
    };

    protected static string TextOf(Message message) => Encoding.UTF8.GetString(message.Payload.Bytes.Span).Trim('"');

    protected async Task<string[]> ReadTextsAsync(ChannelId channel, long after = 0, int max = 1000) =>
        [.. (await Log.ReadAsync(channel, after, max)).Messages.Select(TextOf)];

    [Fact]
    public async Task An_unknown_channel_has_an_epoch_and_nothing_else()
    {
        var head = await Log.GetHeadAsync(Channel("never:written"));
        Assert.False(string.IsNullOrEmpty(head.Epoch));
        Assert.True(head.Epoch.Length <= Position.MaxEpochLength);
        Assert.Equal(1, head.Oldest);
        Assert.Equal(0, head.Head);
        Assert.Empty((await Log.ReadAsync(Channel("never:written"), 0, 10)).Messages);
        Assert.Equal(head, await Log.GetHeadAsync(Channel("never:written")));
    }

    [Fact]
    public async Task The_first_append_keeps_the_epoch_that_was_told_before()
    {
        var before = await Log.GetHeadAsync(Channel());
        var result = await Log.AppendAsync(Request(before.Position, Channel(), Text(1, "a")));
        Assert.Equal(AppendResult.Appended(new Position(before.Epoch, 1)), result);
    }

    [Fact]
    public async Task Messages_come_back_as_they_were()
    {
        var head = (await Log.GetHeadAsync(Channel())).Position;
        Message[] messages =
        [
            new() { Offset = 1, At = 1795452674123, Payload = Payload.Json("{\"a\": 1 }"u8.ToArray()) },
            new() { Offset = 2, At = 1795452674124, Payload = Payload.Binary(new byte[] { 0, 255, 1 }), Key = "k-1", Event = "chat.message", From = "ana" },
            new() { Offset = 3, At = 1795452674124, Payload = Payload.Json("\"ä\u00e9😀\""u8.ToArray()), Key = "schlüssel😀", From = "öz" },
            new() { Offset = 4, At = 1795452674125, Payload = Payload.Binary(ReadOnlyMemory<byte>.Empty), Event = "" },
        ];
        Assert.Equal(AppendStatus.Appended, (await Log.AppendAsync(Request(head, Channel(), messages))).Status);
        var page = await Log.ReadAsync(Channel(), 0, 100);
        Assert.Equal(new ChannelHead(head.Epoch, 1, 4), page.Head);
        Assert.Equal(messages.Length, page.Messages.Count);
        foreach (var (expected, actual) in messages.Zip(page.Messages)) AssertSame(expected, actual);
    }

    [Fact]
    public async Task An_append_at_another_head_stores_nothing()
    {
        var head = await AppendAsync(Channel(), "a", "b");
        foreach (var wrong in new[] { head with { Offset = 0 }, head with { Offset = 1 }, head with { Offset = 3 }, head with { Epoch = "other" } })
        {
            var result = await Log.AppendAsync(Request(wrong, Channel(), Text(wrong.Offset + 1, "x")));
            Assert.Equal(AppendStatus.HeadMoved, result.Status);
            Assert.Equal(head, result.Head);
        }

        Assert.Equal(["a", "b"], await ReadTextsAsync(Channel()));
    }

    [Fact]
    public async Task Of_two_appends_at_the_same_head_one_is_stored()
    {
        var head = await AppendAsync(Channel(), "a");
        for (var round = 0; round < 50; round++)
        {
            var attempts = Enumerable.Range(0, 4)
                .Select(i => Log.AppendAsync(Request(head, Channel(), Text(head.Offset + 1, $"{round}/{i}"))).AsTask())
                .ToArray();
            var results = await Task.WhenAll(attempts);
            var winner = Assert.Single(results, r => r.Status == AppendStatus.Appended);
            Assert.All(results, r => Assert.Equal(winner.Head, r.Head));
            head = winner.Head;
        }

        Assert.Equal(51, head.Offset);
        Assert.Equal(51, (await Log.ReadAsync(Channel(), 0, 1000)).Messages.Count);
    }

    [Fact]
    public async Task Appends_that_follow_each_other_without_waiting_are_all_stored()
    {
        var head = (await Log.GetHeadAsync(Channel())).Position;
        var appends = new List<Task<AppendResult>>();
        for (var i = 0; i < 200; i++)
            appends.Add(Log.AppendAsync(Request(head with { Offset = i }, Channel(), Text(i + 1, $"m{i}", key: $"k{i}"))).AsTask());
        var results = await Task.WhenAll(appends);
        Assert.All(results, r => Assert.Equal(AppendStatus.Appended, r.Status));
        Assert.Equal(Enumerable.Range(0, 200).Select(i => $"m{i}"), await ReadTextsAsync(Channel()));
    }

    [Fact]
    public async Task A_malformed_append_is_the_callers_fault()
    {
        var head = (await Log.GetHeadAsync(Channel())).Position;
        await Assert.ThrowsAsync<ArgumentException>(async () => await Log.AppendAsync(Request(head, Channel())));
        await Assert.ThrowsAsync<ArgumentException>(async () => await Log.AppendAsync(Request(head, Channel(), Text(2, "x"))));
        await Assert.ThrowsAsync<ArgumentException>(async () => await Log.AppendAsync(Request(head, Channel(), Text(1, "x"), Text(3, "y"))));
        await Assert.ThrowsAsync<ArgumentException>(async () =>
            await Log.AppendAsync(Request(head, Channel(), Text(1, "x", key: new string('ü', 129)))));
        Assert.Equal(0, (await Log.GetHeadAsync(Channel())).Head);
    }

    [Fact]
    public async Task Reads_keep_within_their_bounds()
    {
        await AppendAsync(Channel("a:1"), "before");
        var channel = Channel("b:1");
        await AppendAsync(channel, [.. Enumerable.Range(1, 50).Select(i => $"m{i:00}")]);
        await AppendAsync(Channel("c:1"), "behind");

        Assert.Equal(["m01", "m02", "m03"], await ReadTextsAsync(channel, 0, 3));
        Assert.Equal(["m11"], await ReadTextsAsync(channel, 10, 1));
        Assert.Equal(["m49", "m50"], await ReadTextsAsync(channel, 48));
        Assert.Empty(await ReadTextsAsync(channel, 50));
        Assert.Empty(await ReadTextsAsync(channel, 51));
        Assert.Empty(await ReadTextsAsync(channel, long.MaxValue - 1));

        // Each payload has five bytes.
        Assert.Equal(2, (await Log.ReadAsync(channel, 0, 100, maxBytes: 10)).Messages.Count);
        Assert.Equal(3, (await Log.ReadAsync(channel, 0, 100, maxBytes: 11)).Messages.Count);
        Assert.Single((await Log.ReadAsync(channel, 0, 100, maxBytes: 1)).Messages);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await Log.ReadAsync(channel, 0, 0));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await Log.ReadAsync(channel, -1, 1));
    }

    [Fact]
    public async Task Heads_come_in_the_order_asked()
    {
        var channels = Enumerable.Range(0, 100).Select(i => Channel($"room:{i}")).ToArray();
        foreach (var i in new[] { 3, 1, 60 }) await AppendAsync(channels[i], [.. Enumerable.Range(0, i).Select(n => $"m{n}")]);
        var heads = await Log.GetHeadsAsync(channels);
        Assert.Equal(channels.Length, heads.Length);
        for (var i = 0; i < heads.Length; i++) Assert.Equal(i is 3 or 1 or 60 ? i : 0, heads[i].Head);
        Assert.Empty(await Log.GetHeadsAsync([]));
    }

    [Fact]
    public async Task The_end_tells_the_time_of_the_last_message()
    {
        var channel = Channel();
        Assert.Equal(new ChannelEnd(await Log.GetHeadAsync(channel), 0), await Log.GetEndAsync(channel));
        await AppendAsync(channel, "a", "b", "c");
        var head = await Log.GetHeadAsync(channel);
        var last = Assert.Single((await Log.ReadAsync(channel, 2, 10)).Messages);
        Assert.Equal(new ChannelEnd(head, last.At), await Log.GetEndAsync(channel));
        var purged = await Log.PurgeAsync(channel);
        Assert.Equal(new ChannelEnd(purged, 0), await Log.GetEndAsync(channel));
    }

    [Fact]
    public async Task Names_that_are_prefixes_of_each_other_stay_apart()
    {
        string[] names = ["a", "a:", "a:b", "a:b:c", "a-", "A", "ab", new string('x', 200)];
        foreach (var name in names) await AppendAsync(Channel(name), name);
        foreach (var name in names) Assert.Equal([name], await ReadTextsAsync(Channel(name)));
        await AppendAsync(new ChannelId("t", "x"), "tx");
        await AppendAsync(new ChannelId("t-x", "x"), "t-x");
        Assert.Equal(["tx"], await ReadTextsAsync(new ChannelId("t", "x")));
    }

    [Fact]
    public async Task Many_channels_at_once_each_keep_their_order()
    {
        await Task.WhenAll(Enumerable.Range(0, 40).Select(c => Task.Run(async () =>
        {
            var channel = Channel($"room:{c}");
            var head = (await Log.GetHeadAsync(channel)).Position;
            for (var i = 0; i < 50; i++)
            {
                var count = 1 + ((c + i) % 3);
                var first = head.Offset + 1;
                var result = await Log.AppendAsync(Request(
                    head, channel, [.. Enumerable.Range(0, count).Select(n => Text(first + n, $"{c}/{first + n}", key: $"{first + n}"))]));
                Assert.Equal(AppendStatus.Appended, result.Status);
                head = result.Head;

                // A completed append is read at once.
                Assert.Equal(head.Offset, (await Log.GetHeadAsync(channel)).Head);
                Assert.Equal($"{c}/{head.Offset}", Assert.Single(await ReadTextsAsync(channel, head.Offset - 1)));
            }

            var texts = await ReadTextsAsync(channel);
            Assert.Equal(Enumerable.Range(1, (int)head.Offset).Select(n => $"{c}/{n}"), texts);
        })));
    }

    [Fact]
    public async Task Readers_see_whole_appends_without_holes_while_writers_and_trims_run()
    {
        var channel = Channel();
        using var done = new CancellationTokenSource();
        var readers = Enumerable.Range(0, 3).Select(_ => Task.Run(async () =>
        {
            var reads = 0;
            while (!done.IsCancellationRequested || reads == 0)
            {
                var page = await Log.ReadAsync(channel, 0, 200);
                reads++;
                if (page.Messages.Count == 0) continue;
                Assert.Equal(page.Head.Oldest, page.Messages[0].Offset);
                for (var i = 0; i < page.Messages.Count; i++) Assert.Equal(page.Messages[0].Offset + i, page.Messages[i].Offset);

                // Appends are of five messages: a head in between would be part of one.
                Assert.Equal(0, page.Head.Head % 5);

                // A log that answers at once must not keep this thread from the writer.
                await Task.Yield();
            }

            return reads;
        })).ToArray();
        var head = (await Log.GetHeadAsync(channel)).Position;
        for (var i = 0; i < 300; i++)
        {
            head = (await Log.AppendAsync(Request(
                head, channel, [.. Enumerable.Range(1, 5).Select(n => Text(head.Offset + n, $"m{head.Offset + n}"))]))).Head;
            if (i % 4 == 3) await Log.TrimAsync(channel, head.Offset - 50);
        }

        await done.CancelAsync();
        await Task.WhenAll(readers);
        Assert.Equal(1500, head.Offset);
    }

    [Fact]
    public async Task A_wait_that_is_cancelled_may_have_stored()
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        var head = (await Log.GetHeadAsync(Channel())).Position;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            async () => await Log.AppendAsync(Request(head, Channel(), Text(1, "a")), cancelled.Token));

        using var later = new CancellationTokenSource();
        var append = Log.AppendAsync(Request(head, Channel(), Text(1, "b", key: "k")), later.Token).AsTask();
        await later.CancelAsync();
        try
        {
            Assert.Equal(AppendStatus.Appended, (await append).Status);
        }
        catch (OperationCanceledException)
        {
            // The key resolves it: either this append stores it, or the one before did.
            var retry = await Log.AppendAsync(Request(head, Channel(), Text(1, "b", key: "k")));
            Assert.True(retry.Status is AppendStatus.Appended or AppendStatus.HeadMoved);
        }

        Assert.Equal((long[])[1], await Log.FindKeysAsync(Channel(), ["k"]));
        Assert.Equal(["b"], await ReadTextsAsync(Channel()));
    }

    [Fact]
    public async Task A_restart_keeps_all_or_begins_another_epoch()
    {
        var channel = Channel();
        var trimmed = Channel("trimmed:1");
        var emptied = Channel("emptied:1");
        var purged = Channel("purged:1");
        var start = (await Log.GetHeadAsync(channel)).Position;
        var head = (await Log.AppendAsync(Request(start, channel, Text(1, "a", key: "k"), Text(2, "b", from: "ana")))).Head;
        await AppendAsync(trimmed, [.. Enumerable.Range(1, 40).Select(i => $"m{i}")]);
        await Log.TrimAsync(trimmed, 35);
        await AppendAsync(emptied, "x", "y");
        await Log.TrimAsync(emptied, 2);
        await AppendAsync(purged, "old");
        var purgedHead = await Log.PurgeAsync(purged);
        await AppendAsync(purged, "new");

        await ReopenAsync();

        if (!Durable)
        {
            Assert.NotEqual(head.Epoch, (await Log.GetHeadAsync(channel)).Epoch);
            Assert.Equal(0, (await Log.GetHeadAsync(channel)).Head);
            return;
        }

        Assert.Equal(new ChannelHead(head.Epoch, 1, 2), await Log.GetHeadAsync(channel));
        Assert.Equal(["a", "b"], await ReadTextsAsync(channel));
        Assert.Equal(new SeenKey(0, 1), Assert.Single((await Log.AppendAsync(Request(head, channel, Text(3, "a", key: "k")))).Seen));
        Assert.Equal(["m36", "m37", "m38", "m39", "m40"], await ReadTextsAsync(trimmed));
        Assert.Equal(3, (await AppendAsync(emptied, "z")).Offset);
        Assert.Equal(["z"], await ReadTextsAsync(emptied));
        Assert.Equal(purgedHead.Epoch, (await Log.GetHeadAsync(purged)).Epoch);
        Assert.Equal(["new"], await ReadTextsAsync(purged));
        Assert.Equal(start.Epoch, (await Log.GetHeadAsync(Channel("never:written"))).Epoch);
    }

    [Fact]
    public async Task Large_appends_and_payloads_are_stored_whole()
    {
        var channel = Channel();
        var head = (await Log.GetHeadAsync(channel)).Position;
        var big = new byte[300_000];
        new Random(1).NextBytes(big);
        head = (await Log.AppendAsync(Request(
            head, channel, new Message { Offset = 1, At = 1, Payload = Payload.Binary(big) }))).Head;
        Assert.Equal(1, head.Offset);
        Assert.Equal(big, (await Log.ReadAsync(channel, 0, 10)).Messages[0].Payload.Bytes.ToArray());

        var many = Channel("many:1");
        head = (await Log.GetHeadAsync(many)).Position;
        Message[] messages = [.. Enumerable.Range(1, 1000).Select(i => Text(i, $"{i}", key: $"key-{i}"))];
        Assert.Equal(1000, (await Log.AppendAsync(Request(head, many, messages))).Head.Offset);
        Assert.Equal(1000, (await Log.ReadAsync(many, 0, 1000)).Messages.Count);
    }

    /// <summary>Compares all parts of two messages.</summary>
    protected static void AssertSame(Message expected, Message actual)
    {
        Assert.Equal(expected.Offset, actual.Offset);
        Assert.Equal(expected.At, actual.At);
        Assert.Equal(expected.Key, actual.Key);
        Assert.Equal(expected.Event, actual.Event);
        Assert.Equal(expected.From, actual.From);
        Assert.Equal(expected.Payload.IsBinary, actual.Payload.IsBinary);
        Assert.Equal(expected.Payload.Bytes.ToArray(), actual.Payload.Bytes.ToArray());
    }
}

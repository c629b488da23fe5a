using System.Collections.Concurrent;
using System.Text.Json;
using System.Text;
using Grid.Client;
using Grid.Protocol;
using Grid.Testing.Hosting;
using Grid.Testing.Sdk;
using Grid.Testing;

namespace Grid.IntegrationTests.Sdk;

public class JsonSdkTests(SdkHost fixture) : SdkTests(fixture, JsonWireCodec.Instance);

public class ProtoSdkTests(SdkHost fixture) : SdkTests(fixture, ProtoWireCodec.Instance);

/// <summary>What the C# SDK promises beyond being whole, against the real host.</summary>
public abstract class SdkTests(SdkHost fixture, IWireCodec codec) : IClassFixture<SdkHost>
{
    [Fact]
    public async Task Another_client_takes_the_session_up_at_the_first_unfinished_message()
    {
        using var deadline = TestDeadline.In(60);
        for (var i = 1; i <= 30; i++) await fixture.Server.PublishAsync("room:move", Json($"{i}"));
        var options = await OptionsAsync("mover");
        var handled = new ConcurrentQueue<long>();
        var reached = Wait();
        await using var first = new GridClient(options with { CloseTimeout = TimeSpan.FromMilliseconds(50) });
        await first.ConnectAsync(deadline.Token);
        await first.SubscribeAsync("room:move", StartPoint.Start, async (message, token) =>
        {
            if (message.Offset > 10)
            {
                reached.TrySetResult();
                await Task.Delay(Timeout.Infinite, token);
            }

            handled.Enqueue(message.Offset);
        });
        await reached.Task.WaitAsync(deadline.Token);
        await first.CloseAsync();

        // Over to another process: what it needs is plain data.
        var exported = JsonSerializer.Serialize(first.ExportSession());
        var whole = Wait();
        await using var second = new GridClient(options with { Resume = JsonSerializer.Deserialize<ResumeState>(exported) });
        second.SessionExpired += (_, _) => whole.TrySetException(new TestFailedException("the session had expired"));
        await second.ConnectAsync(deadline.Token);
        Assert.Equal(first.Session, second.Session);
        await second.SubscribeAsync("room:move", StartPoint.Now, (message, _) =>
        {
            handled.Enqueue(message.Offset);
            if (message.Offset == 30) whole.TrySetResult();
            return ValueTask.CompletedTask;
        });
        await whole.Task.WaitAsync(deadline.Token);
        Assert.Equal(Enumerable.Range(1, 30).Select(n => (long)n), handled);
    }

    [Fact]
    public async Task A_session_that_is_gone_is_told_and_nothing_is_lost()
    {
        using var deadline = TestDeadline.In(60);
        var transport = new CuttableTransport();
        await using var client = new GridClient(await OptionsAsync("gone", transport));
        var expired = new TaskCompletionSource<SessionExpiredEventArgs>(TaskCreationOptions.RunContinuationsAsynchronously);
        client.SessionExpired += (_, e) => expired.TrySetResult(e);
        await client.ConnectAsync(deadline.Token);
        var log = new Handled();
        await client.SubscribeAsync("room:gone", StartPoint.Start, log.HandleAsync);
        for (var i = 1; i <= 5; i++) await fixture.Server.PublishAsync("room:gone", Json($"{i}"));
        await log.ReachedAsync(5, deadline);
        var session = client.Session!;

        transport.Offline = true;
        (await fixture.Http.SendAsync(HttpMethod.Delete, $"/v1/sessions/{session}")).Ok();
        for (var i = 6; i <= 10; i++) await fixture.Server.PublishAsync("room:gone", Json($"{i}"));
        transport.Offline = false;

        var told = await expired.Task.WaitAsync(deadline.Token);
        Assert.Equal(session, told.PreviousSession);
        Assert.Equal(client.Session, told.Session);
        Assert.NotEqual(session, told.Session);
        await log.ReachedAsync(10, deadline);
        log.AssertWhole(10);
    }

    [Fact]
    public async Task What_retention_took_during_an_outage_is_a_gap_in_its_place()
    {
        using var deadline = TestDeadline.In(120);
        var transport = new CuttableTransport();
        await using var client = new GridClient(await OptionsAsync("late", transport));
        await client.ConnectAsync(deadline.Token);
        var log = new Handled();
        var gaps = new ConcurrentQueue<(GridGap Gap, int Before)>();
        var options = new SubscribeOptions
        {
            OnGap = (gap, _) =>
            {
                gaps.Enqueue((gap, log.Count));
                return ValueTask.CompletedTask;
            },
        };
        await client.SubscribeAsync("short:1", StartPoint.Start, log.HandleAsync, options);
        for (var i = 1; i <= 3; i++) await fixture.Server.PublishAsync("short:1", Json($"{i}"));
        await log.ReachedAsync(3, deadline);

        transport.Offline = true;
        for (var i = 4; i <= 60; i++) await fixture.Server.PublishAsync("short:1", Json($"{i}"));

        // A start applies retention at once; otherwise it is applied now and then.
        await fixture.Host.KillAsync();
        await fixture.Host.StartAsync();
        await deadline.UntilAsync(
            async () => (await fixture.Http.GetAsync(GridHttp.ChannelPath("short:1"))).Ok().Json.GetProperty("oldest").GetInt64() > 4,
            () => "retention takes the oldest messages");
        var oldest = (await fixture.Http.HistoryAsync("short:1")).Oldest;
        transport.Offline = false;
        await log.ReachedAsync(60, deadline);

        var (gap, before) = Assert.Single(gaps);
        Assert.Equal((4, oldest - 1, GapReason.Retention, 3), (gap.From, gap.To, gap.Reason, before));
        var expected = Enumerable.Range(1, 3).Concat(Enumerable.Range((int)oldest, 60 - (int)oldest + 1));
        Assert.Equal(expected.Select(n => (long)n), log.Offsets);
    }

    [Fact]
    public async Task A_token_is_replaced_in_band()
    {
        using var deadline = TestDeadline.In(60);
        var authorized = Wait();
        var transport = new CuttableTransport
        {
            OnReceived = frame =>
            {
                if (codec.DecodeServer(frame).Frame is AuthorizedFrame) authorized.TrySetResult();
            },
        };
        var fetched = 0;
        await using var client = new GridClient(await OptionsAsync("fresh", transport) with
        {
            Token = null,
            TokenProvider = async _ =>
            {
                Interlocked.Increment(ref fetched);
                return await fixture.Http.TokenAsync("fresh", ttlSeconds: 600);
            },

            // By this clock the token's end is near; by the server's it is not, so a slow machine cannot make it too late.
            TimeProvider = new AheadTime(TimeSpan.FromSeconds(599)),
        });
        await client.ConnectAsync(deadline.Token);
        var session = client.Session;
        await authorized.Task.WaitAsync(deadline.Token);
        await client.PublishAsync("room:fresh", Json("1"));
        Assert.Equal((1, session), (transport.Connects, client.Session));
        Assert.True(fetched >= 2, $"{fetched} tokens");
    }

    [Fact]
    public async Task Fire_and_forget_goes_out_once_and_is_dropped_without_a_connection()
    {
        using var deadline = TestDeadline.In(60);
        var transport = new CuttableTransport();
        await using var client = new GridClient(await OptionsAsync("fleeting", transport));
        Assert.False(client.TryPublish("room:fleeting", Json("0")));
        await client.ConnectAsync(deadline.Token);
        var seen = new List<GridMessage>();
        var whole = Wait();
        await client.SubscribeAsync("room:fleeting", StartPoint.Start, (message, _) =>
        {
            seen.Add(message);
            if (seen.Count == 3) whole.TrySetResult();
            return ValueTask.CompletedTask;
        });
        Assert.True(client.TryPublish("room:fleeting", Json("1"), new PublishOptions { Event = "move" }));
        Assert.True(client.TryPublish("room:fleeting", Payload.Binary(new byte[] { 0, 255 })));
        var receipt = await client.PublishAsync("room:fleeting", Json("2"));
        await whole.Task.WaitAsync(deadline.Token);

        // An answered publish may overtake the others; only among themselves do these keep their order.
        Assert.Equal([("move", false), (null, true)], seen.Where(m => m.Key is null).Select(m => (m.Event, m.Payload.IsBinary)));
        Assert.Equal(receipt.Offset, Assert.Single(seen, m => m.Key is not null).Offset);
        Assert.All(seen, m => Assert.Equal("fleeting", m.From));

        var lost = Wait();
        client.StateChanged += (_, e) =>
        {
            if (e.State == ConnectionState.Reconnecting) lost.TrySetResult();
        };
        transport.Offline = true;
        await lost.Task.WaitAsync(deadline.Token);
        Assert.False(client.TryPublish("room:fleeting", Json("3")));
    }

    [Fact]
    public async Task A_handler_that_stalls_holds_up_neither_other_channels_nor_memory_and_misses_nothing()
    {
        const int Count = 500;
        using var deadline = TestDeadline.In(120);
        await using var client = new GridClient(await OptionsAsync("slow") with { MaxQueuedMessages = 16 });
        await client.ConnectAsync(deadline.Token);
        var release = Wait();
        var (slow, fast) = (new Handled { Before = _ => release.Task }, new Handled());
        var subscription = await client.SubscribeAsync("room:slow", StartPoint.Start, slow.HandleAsync);
        await client.SubscribeAsync("room:fast", StartPoint.Start, fast.HandleAsync);
        await using var publisher = new GridClient(await OptionsAsync("publisher"));
        await publisher.ConnectAsync(deadline.Token);
        var answers = new List<Task>();
        for (var i = 1; i <= Count; i++)
        {
            answers.Add(publisher.PublishAsync("room:slow", Json($"{i}")));
            if (i % 2 == 0) answers.Add(publisher.PublishAsync("room:fast", Json($"{i}")));
        }

        await Task.WhenAll(answers).WaitAsync(deadline.Token);
        await fast.ReachedAsync(Count / 2, deadline);
        Assert.Equal((0, 0L), (slow.Count, subscription.Cursor));
        release.SetResult();
        await slow.ReachedAsync(Count, deadline);
        slow.AssertWhole(Count);
        fast.AssertWhole(Count / 2);
    }

    [Fact]
    public async Task The_server_side_helper_mints_publishes_and_reads()
    {
        using var deadline = TestDeadline.In(60);
        var capabilities = new Dictionary<string, IReadOnlyList<string>> { ["shop:*"] = ["subscribe", "publish"] };
        var minted = await fixture.Server.MintTokenAsync("ana", TimeSpan.FromMinutes(5), capabilities);
        Assert.InRange(minted.ExpiresAt, DateTimeOffset.UtcNow.AddMinutes(1), DateTimeOffset.UtcNow.AddMinutes(6));
        await using var client = new GridClient(await OptionsAsync("ana") with { Token = minted.Token });
        await client.ConnectAsync(deadline.Token);
        await client.PublishAsync("shop:1", new { text = "ä", price = 1.50 }, new PublishOptions { Key = "k", Event = "order.created" });
        var forbidden = await Assert.ThrowsAsync<GridException>(() => client.PublishAsync("room:1", Json("1")));
        Assert.Equal(("forbidden", "room:1", false), (forbidden.Code, forbidden.Channel, forbidden.OutcomeUnknown));

        var again = await fixture.Server.PublishAsync("shop:1", Json("2"), "k");
        Assert.Equal((1, true), (again.Offset, again.Duplicate));
        var bytes = await fixture.Server.PublishAsync("shop:1", Payload.Binary(new byte[] { 1, 0, 255 }), eventName: "blob");
        Assert.Equal((2, false, again.Epoch), (bytes.Offset, bytes.Duplicate, bytes.Epoch));

        var page = await fixture.Server.GetMessagesAsync("shop:1");
        Assert.Equal((again.Epoch, 1, 2), (page.Epoch, page.Oldest, page.Head));
        var order = page.Messages[0].Json<JsonElement>();
        Assert.Equal(("ä", 1.5), (order.GetProperty("text").GetString(), order.GetProperty("price").GetDouble()));
        Assert.Equal(("k", "order.created", "ana"), (page.Messages[0].Key, page.Messages[0].Event, page.Messages[0].From));
        Assert.Equal(new byte[] { 1, 0, 255 }, page.Messages[1].Payload.Bytes.ToArray());
        Assert.Null(page.Messages[1].From);
        Assert.Equal(2, Assert.Single((await fixture.Server.GetMessagesAsync("shop:1", after: 1, limit: 1)).Messages).Offset);

        using var http = new HttpClient();
        var stranger = new GridServerClient(http, fixture.Host.Address, "no-such-key-0123456789");
        Assert.Equal("unauthorized", (await Assert.ThrowsAsync<GridException>(() => stranger.GetMessagesAsync("shop:1"))).Code);
    }

    private async Task<GridClientOptions> OptionsAsync(string user, CuttableTransport? transport = null) =>
        await fixture.OptionsAsync(user, transport) with { Codec = codec };

    private static Payload Json(string json) => Payload.Json(Encoding.UTF8.GetBytes(json));

    private static TaskCompletionSource Wait() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>A handler that notes the offsets in the order in which it finished them.</summary>
    private sealed class Handled
    {
        private readonly Lock _gate = new();
        private readonly List<long> _offsets = [];
        private readonly List<(long Offset, TaskCompletionSource Reached)> _waiting = [];

        /// <summary>What each call waits for.</summary>
        public Func<GridMessage, Task> Before { get; init; } = _ => Task.CompletedTask;

        public int Count => Offsets.Count;

        public IReadOnlyList<long> Offsets
        {
            get
            {
                lock (_gate) return [.. _offsets];
            }
        }

        public async ValueTask HandleAsync(GridMessage message, CancellationToken cancellationToken)
        {
            await Before(message).WaitAsync(cancellationToken);
            lock (_gate)
            {
                _offsets.Add(message.Offset);
                foreach (var (offset, reached) in _waiting)
                    if (message.Offset >= offset) reached.TrySetResult();
            }
        }

        public async Task ReachedAsync(long offset, TestDeadline deadline)
        {
            var reached = Wait();
            lock (_gate)
            {
                if (_offsets.Count > 0 && _offsets[^1] >= offset) return;
                _waiting.Add((offset, reached));
            }

            try
            {
                await reached.Task.WaitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                throw new TestFailedException($"{offset} was not handled; handled were {string.Join(",", Offsets)}");
            }
        }

        public void AssertWhole(int count) => Assert.Equal(Enumerable.Range(1, count).Select(n => (long)n), Offsets);
    }

    /// <summary>The system's time, and a clock that is ahead.</summary>
    private sealed class AheadTime(TimeSpan by) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + by;
    }
}

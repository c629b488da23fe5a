using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Relay;
using Grid.Server.Sessions;
using Grid.Server.Telemetry;
using Grid.UnitTests.Log;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Telemetry;

/// <summary>What the other parts count, and that recording allocates nothing.</summary>
public sealed class MetricsTests : IDisposable
{
    private static readonly ChannelId Channel = new("default", "room:1");
    private readonly Recorded _recorded = new();

    public void Dispose() => _recorded.Dispose();

    [Fact]
    public async Task A_group_of_appends_is_counted_with_its_messages()
    {
        using var folder = new TempFolder();
        await using var log = new RocksDbMessageLog(Logs.OpenStore(folder.Path), Logs.Policies(), metrics: new LogMetrics(_recorded.Meters));
        var head = (await log.GetHeadAsync(Channel)).Position;
        head = (await log.AppendAsync(Request(head, 3))).Head;
        Assert.Equal([3.0], _recorded["grid.log.append.messages"]);
        Assert.Equal([1.0], _recorded["grid.log.append.appends"]);
        Assert.True(Assert.Single(_recorded["grid.log.append.duration outcome=stored"]) > 0);

        // One that stores nothing is no part of a group.
        Assert.Equal(AppendStatus.HeadMoved, (await log.AppendAsync(Request(head with { Offset = 1 }, 2))).Status);
        Assert.Single(_recorded["grid.log.append.messages"]);
    }

    [Fact]
    public async Task A_group_that_failed_is_counted_as_failed()
    {
        using var folder = new TempFolder();
        var faults = new StoreFaults { BeforeWrite = () => throw new IOException("injected") };
        await using var log = new RocksDbMessageLog(
            Logs.OpenStore(folder.Path, faults: faults), Logs.Policies(), metrics: new LogMetrics(_recorded.Meters));
        var head = (await log.GetHeadAsync(Channel)).Position;
        await Assert.ThrowsAsync<LogUnavailableException>(async () => await log.AppendAsync(Request(head, 2)));
        Assert.Single(_recorded["grid.log.append.duration outcome=failed"]);
        Assert.Empty(_recorded["grid.log.append.messages"]);
    }

    [Fact]
    public void Publishes_are_counted_by_their_outcome()
    {
        var metrics = new PublishMetrics(_recorded.Meters);
        var at = new Position("epoch", 1);
        metrics.Answered(
            [new(at, false), new(at, false), new(at, true), PublishReceipt.Refused(ErrorCode.Conflict)], TimeSpan.FromMilliseconds(2));
        metrics.Unavailable([PublishReceipt.Refused(ErrorCode.Unavailable, 250)], TimeSpan.FromSeconds(8));
        metrics.Retried(moved: true);
        Assert.Equal(2, _recorded.Sum("grid.messages.published outcome=stored"));
        Assert.Equal(1, _recorded.Sum("grid.messages.published outcome=duplicate"));
        Assert.Equal(2, _recorded.Sum("grid.messages.published outcome=refused"));
        Assert.Equal([0.002], _recorded["grid.publish.duration outcome=answered"]);
        Assert.Equal([8.0], _recorded["grid.publish.duration outcome=unavailable"]);
        Assert.Equal(1, _recorded.Sum("grid.publish.retries reason=moved"));
    }

    [Fact]
    public void Sessions_and_sockets_are_counted_by_what_became_of_them()
    {
        var metrics = new GatewayMetrics(_recorded.Meters);
        metrics.Announce();
        metrics.Welcomed(WelcomeState.Resumed, CursorSource.Token);
        metrics.Closed(CloseCode.Superseded);
        metrics.Checkpointed(last: true, SessionCallStatus.Ok);
        metrics.Checkpointed(last: false, null);
        Assert.Equal([0.0, 1], _recorded["grid.sessions.welcomed state=resumed cursors=token"]);
        Assert.Equal([0.0], _recorded["grid.sessions.welcomed state=new cursors=none"]);
        Assert.Equal(1, _recorded.Sum("grid.connections.closed reason=superseded"));
        Assert.Equal([0.0], _recorded["grid.connections.closed reason=heartbeat_missed"]);
        Assert.Equal(1, _recorded.Sum("grid.sessions.checkpoints kind=last outcome=ok"));
        Assert.Equal(1, _recorded.Sum("grid.sessions.checkpoints kind=regular outcome=failed"));
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void A_session_that_its_token_rebuilt_says_so(bool known, bool rebuilt)
    {
        var state = new SessionState();
        var machine = new SessionMachine(state);
        if (known) machine.Attach(Attach(resume: false), "silo", 1_000, 60_000, mayRebuild: true);
        var attached = machine.Attach(Attach(resume: true), "silo", 2_000, 60_000, mayRebuild: true);
        Assert.Equal((WelcomeState.Resumed, rebuilt), (attached.State, attached.Rebuilt));
    }

    [Fact]
    public void Recording_with_a_listener_allocates_nothing()
    {
        using var heard = new Recorded(keeps: false);
        var (gateway, publish, log, channels, relay, sessions) = (
            new GatewayMetrics(heard.Meters), new PublishMetrics(heard.Meters), new LogMetrics(heard.Meters), new ChannelMetrics(heard.Meters),
            new RelayMetrics(heard.Meters, TimeProvider.System), new SessionMetrics(heard.Meters));
        var receipts = new[] { new PublishReceipt(new Position("epoch", 1), false), PublishReceipt.Refused(ErrorCode.Conflict) };
        void RecordAll()
        {
            gateway.Opened();
            gateway.Ended();
            gateway.Received(ok: true);
            gateway.Welcomed(WelcomeState.Resumed, CursorSource.Client);
            gateway.Closed(CloseCode.Drain);
            gateway.Checkpointed(last: false, SessionCallStatus.Ok);
            publish.Answered(receipts, TimeSpan.FromMilliseconds(1));
            publish.Retried(moved: false);
            log.Group(100, 10, TimeSpan.FromMilliseconds(1), stored: true);
            channels.FeedSent();
            channels.FeedEnded();
            channels.AppendFailed();
            relay.Delivered(1000, 128_000);
            relay.Served(1_795_452_674_000);
            relay.Joined();
            relay.Left();
            relay.Read(fromRing: false);
            relay.Gap(GapReason.Retention);
            sessions.Wrote(TimeSpan.FromMilliseconds(1), stored: true);
        }

        for (var i = 0; i < 1000; i++) RecordAll();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++) RecordAll();
        Assert.Equal(0, (GC.GetAllocatedBytesForCurrentThread() - before) / 1000);
    }

    private static SessionAttach Attach(bool resume) => new()
    {
        User = "ana",
        Silo = SiloAddress.Zero,
        Resume = resume,
        TokenGeneration = 1,
        Cursors = resume ? new() { ["room:1"] = new Position("epoch", 4) } : [],
    };

    private static AppendRequest Request(Position head, int count) => new()
    {
        Channel = Channel,
        ExpectedHead = head,
        KeyWindow = TimeSpan.FromHours(1),
        Messages = [.. Enumerable.Range(1, count).Select(i => new Message
        {
            Offset = head.Offset + i, At = 1_795_452_674_000, Payload = Payload.Json(Encoding.UTF8.GetBytes($"{i}")),
        })],
    };
}

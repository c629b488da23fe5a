using System.Net;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Relay;
using Grid.Server.Telemetry;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Channels;

/// <summary>
/// A log that lost its end (a standby that was behind took over): before anything is appended at an offset that was delivered before,
/// the channel has a new epoch.
/// </summary>
public sealed class LostTailTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly ShortLog _log = new();
    private readonly Relay _relay = new();

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(50)]
    public async Task An_activation_that_lived_through_the_outage_remembers_how_far_it_was(int published)
    {
        var grain = Activate(out var host);
        Assert.Equal(new Position("e1", 44), (await grain.PublishAsync(Batch(1))).Single().Position);
        _log.Away = true;
        Assert.Equal(ErrorCode.Unavailable, (await grain.PublishAsync(Batch(1))).Single().Error);
        while (_log.Asked < 6)
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Yield();
        }

        await Assert.ThrowsAsync<LogUnavailableException>(() => grain.PublishAsync(Batch(1)));
        Assert.False(host.Deactivated);
        (_log.Away, _log.Head) = (false, 41);
        var receipts = await grain.PublishAsync(Batch(published));
        Assert.Equal(Enumerable.Range(42, published).Select(offset => new Position("e2", offset)), receipts.Select(r => r.Position));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(50)]
    public async Task A_new_activation_learns_it_from_the_silos(int published)
    {
        _relay.Interest = Task.FromResult(new DeliverAck(true, new Position("e1", 44)));
        _log.Head = 41;
        var receipts = await Activate(out _).PublishAsync(Batch(published));
        Assert.Equal(Enumerable.Range(42, published).Select(offset => new Position("e2", offset)), receipts.Select(r => r.Position));
    }

    [Fact]
    public async Task A_silo_that_does_not_answer_holds_a_publish_up_for_a_moment_only()
    {
        var answer = new TaskCompletionSource<DeliverAck>();
        _relay.Interest = answer.Task;
        var publish = Activate(out _).PublishAsync(Batch(1));
        while (!publish.IsCompleted)
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Yield();
        }

        Assert.Equal(new Position("e1", 44), (await publish).Single().Position);
        Assert.False(_relay.Delivered.Reader.TryPeek(out _));

        // Its answer counts when it comes.
        answer.SetResult(new DeliverAck(true, new Position("e1", 43)));
        Assert.Equal(44, (await _relay.Delivered.Reader.ReadAsync()).Head.Head);
    }

    private ChannelGrain Activate(out GrainHost host)
    {
        var policies = new NamespacePolicies(Options.Create(new GridOptions()));
        var meters = new ServiceCollection().AddMetrics().BuildServiceProvider().GetRequiredService<System.Diagnostics.Metrics.IMeterFactory>();
        host = new GrainHost(_time, GrainId.Create("channel", "t/room:1"));
        var grain = host.Make(() => new ChannelGrain(
            new MessageLogs(_log, _log, policies), policies, _relay, new PublishesUnderWay(), new WorkQueue(static item => item.Execute()), new ChannelMetrics(meters), _time, NullLogger<ChannelGrain>.Instance));
        Assert.True(grain.OnActivateAsync(CancellationToken.None).IsCompletedSuccessfully);
        return grain;
    }

    private static PublishBatch Batch(int count) =>
        new() { Drafts = [.. Enumerable.Range(0, count).Select(_ => new MessageDraft { Data = "1"u8.ToArray(), IsBinary = false })] };

    /// <summary>Keeps no messages, only how many there are.</summary>
    private sealed class ShortLog : IMessageLog
    {
        public string Epoch { get; private set; } = "e1";

        public long Head { get; set; } = 43;

        public bool Away { get; set; }

        /// <summary>How often its end was asked for.</summary>
        public int Asked { get; private set; }

        public ValueTask<AppendResult> AppendAsync(AppendRequest request, CancellationToken cancellationToken = default)
        {
            ThrowIfAway();
            if (request.ExpectedHead != new Position(Epoch, Head)) return new(AppendResult.HeadMoved(new Position(Epoch, Head)));
            Head += request.Messages.Count;
            return new(AppendResult.Appended(new Position(Epoch, Head)));
        }

        public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default)
        {
            ThrowIfAway();
            return new(new ChannelHead(Epoch, 1, Head));
        }

        public async ValueTask<ChannelEnd> GetEndAsync(ChannelId channel, CancellationToken cancellationToken = default)
        {
            Asked++;
            return new(await GetHeadAsync(channel, cancellationToken), 1);
        }

        public ValueTask<ChannelHead> RenewAsync(ChannelId channel, Position reached, CancellationToken cancellationToken = default)
        {
            ThrowIfAway();
            if (Epoch == reached.Epoch && Head < reached.Offset) Epoch = "e2";
            return GetHeadAsync(channel, cancellationToken);
        }

        public ValueTask<long[]> FindKeysAsync(ChannelId channel, IReadOnlyList<string> keys, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public ValueTask<ChannelPage> ReadAsync(
            ChannelId channel, long after, int maxMessages, int maxBytes = 0, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public ValueTask TrimAsync(ChannelId channel, long upTo, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public ValueTask<ChannelHead> PurgeAsync(ChannelId channel, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        private void ThrowIfAway()
        {
            if (Away) throw new LogUnavailableException("It is away.");
        }
    }

    /// <summary>One silo, which answers what the test says.</summary>
    private sealed class Relay : ISiloRelays, ISiloRelay
    {
        private readonly SiloAddress _silo = SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 11111), 1);

        public Task<DeliverAck> Interest { get; set; } = Task.FromResult(default(DeliverAck));

        public System.Threading.Channels.Channel<DeliverBatch> Delivered { get; } = System.Threading.Channels.Channel.CreateUnbounded<DeliverBatch>();

        public ISiloRelay On(SiloAddress silo) => this;

        public IReadOnlyCollection<SiloAddress> LiveSilos() => [_silo];

        public ValueTask<IReadOnlyCollection<SiloAddress>> GetMembersAsync() => new([_silo]);

        public bool IsLive(SiloAddress silo) => true;

        public Task<DeliverAck> DeliverAsync(DeliverBatch batch)
        {
            Assert.True(Delivered.Writer.TryWrite(batch));
            return Task.FromResult(new DeliverAck(true, batch.Head.Position));
        }

        public Task<DeliverAck> GetInterestAsync(ChannelId channel) => Interest;

        public Task<long> CountSubscribersAsync(ChannelId channel) => throw new NotSupportedException();

        public Task<bool> FenceAsync(string tenant, string session, long generation, CloseCode code) => throw new NotSupportedException();

        public Task<bool> HoldsAsync(string tenant, string session, long generation) => throw new NotSupportedException();

        public Task<ConnectedSession[]> ListSessionsAsync(string tenant, string user, int limit) => throw new NotSupportedException();

        public Task WaitForPublishesAsync() => throw new NotSupportedException();
    }
}

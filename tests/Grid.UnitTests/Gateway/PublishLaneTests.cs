using System.Net.WebSockets;
using System.Reflection;
using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Gateway;
using Grid.Server.Hosting;
using Grid.Server.Telemetry;
using Grid.UnitTests.Telemetry;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Gateway;

/// <summary>The publishes of a connection to one channel, over a grain that does not answer for a while.</summary>
public sealed class PublishLaneTests : IDisposable
{
    private static readonly ChannelId Channel = new("default", "room:1");
    private readonly Recorded _recorded = new();
    private readonly FakeTimeProvider _time = new();
    private readonly MemoryStream _sent = new();
    private readonly WebSocket _socket = WebSocket.CreateFromStream(new MemoryStream(), new WebSocketCreationOptions { IsServer = true });
    private readonly SocketStream _stream;
    private readonly PublishesUnderWay _underWay = new();
    private readonly Grain _grain = new();
    private readonly PublishLane _lane;

    public PublishLaneTests()
    {
        var options = Options.Create(new GridOptions());
        var publisher = new ChannelPublisher(
            Grains.Of(_grain), new NamespacePolicies(options), _underWay, new PublishMetrics(_recorded.Meters), _time, NullLogger<ChannelPublisher>.Instance);
        var services = new GatewayServices(
            null!, null!, publisher, null!, null!, null!, null!, null!, null!, null!, null!, null!, options, _time, NullLoggerFactory.Instance);
        _stream = new SocketStream(_sent, new OutboundBuffer(_sent, options.Value.MaxOutboundBytes, () => { }));
        var connection = new ClientConnection(services, _socket, _stream, new Form(JsonWireCodec.Instance), Compression.None, null, null, () => { });
        _lane = new PublishLane(connection, Channel, publisher, "ana", holds: true, _time);
    }

    public void Dispose()
    {
        _recorded.Dispose();
        _socket.Dispose();
        _stream.Dispose();
        _sent.Dispose();
    }

    [Fact]
    public void What_may_not_overtake_an_unavailable_publish_is_refused_and_counted_like_it()
    {
        _grain.Fail = () =>
        {
            _time.Advance(ChannelPublisher.Patience * 2);
            return new TimeoutException();
        };
        Publish(Draft("k1"), 1);
        _grain.Fail = null;
        Publish(Draft("k2"), 2);
        Publish(Draft("k3"), 3);
        Assert.Equal(["k1"], _grain.Asked);
        Assert.Equal(3, _recorded.Sum("grid.messages.published outcome=refused"));
        Assert.Equal([11.0, 0, 0], _recorded["grid.publish.duration outcome=unavailable"]);
        Assert.Equal(3, Answers("\"unavailable\""));

        // The one that is waited for lets all after it pass again.
        Publish(Draft("k1"), 4);
        Publish(Draft("k2"), 5);
        Assert.Equal(["k1", "k1", "k2"], _grain.Asked);
        Assert.Equal(2, _recorded.Sum("grid.messages.published outcome=stored"));
        Assert.Equal(3, _recorded.Sum("grid.messages.published outcome=refused"));
        Assert.Equal(2, Answers("\"published\""));
    }

    [Fact]
    public void What_gathers_before_the_start_goes_in_one_call()
    {
        Assert.True(_lane.Add(Draft("k1"), 1));
        Assert.False(_lane.Add(Draft("k2"), 2));
        Assert.False(_lane.Add(Draft("k3"), 3));
        Assert.Equal(0, _grain.Calls);
        Assert.False(_lane.IsIdle);

        _lane.Start();
        Assert.Equal(1, _grain.Calls);
        Assert.Equal(["k1", "k2", "k3"], _grain.Asked);
        Assert.True(_lane.IsIdle);
    }

    [Fact]
    public async Task A_publish_is_under_way_until_its_answer_is_in_the_socket()
    {
        var answer = new TaskCompletionSource();
        _grain.Hold = answer.Task;
        Publish(Draft("k1"), 1);
        var over = _underWay.WaitAsync();

        // Where it was sent: the answer must be there by then.
        var answers = 0;
        var seen = over.ContinueWith(_ => answers = Answers("\"published\""), TaskScheduler.Default);
        Publish(Draft("k2"), 2);
        Assert.False(over.IsCompleted);
        answer.SetResult();
        await seen.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.InRange(answers, 1, 2);
        await _underWay.WaitAsync().WaitAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(2, Answers("\"published\""));
    }

    private void Publish(MessageDraft draft, long id)
    {
        if (_lane.Add(draft, id)) _lane.Start();
    }

    private static MessageDraft Draft(string key) => new() { Data = "1"u8.ToArray(), Key = key };

    private int Answers(string word) => Encoding.UTF8.GetString(_sent.ToArray()).Split(word).Length - 1;

    /// <summary>Answers each publish at once, or fails it.</summary>
    private sealed class Grain : IChannelGrain
    {
        public List<string> Asked { get; } = [];

        public int Calls { get; private set; }

        public Func<Exception>? Fail { get; set; }

        public Task Hold { get; set; } = Task.CompletedTask;

        public async Task<PublishReceipt[]> PublishAsync(PublishBatch batch)
        {
            Calls++;
            Asked.AddRange(batch.Drafts.Select(d => d.Key!));
            await Hold;
            return Fail is null ? Array.ConvertAll(batch.Drafts, _ => new PublishReceipt(new Position("epoch", Asked.Count), false)) : throw Fail();
        }

        public Task<ChannelPage> ReadAsync(long after, int limit) => throw new NotSupportedException();

        public Task<ChannelHead> GetHeadAsync() => throw new NotSupportedException();
    }

    /// <summary>Has one grain, whatever is asked for.</summary>
    public class Grains : DispatchProxy
    {
        private object _grain = null!;

        public static IGrainFactory Of(object grain)
        {
            var factory = Create<IGrainFactory, Grains>();
            ((Grains)(object)factory)._grain = grain;
            return factory;
        }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => _grain;
    }
}

using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Api;
using Grid.Server.Channels;
using Grid.Server.Gateway;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Relay;
using Grid.Server.Sessions;
using Grid.Server.Telemetry;
using Grid.Server.Tenancy;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Grid.UnitTests.Simulation;

/// <summary>A silo: the real relay, gateway and grains, on a node that can crash.</summary>
internal sealed class SimSilo : SimNode, ILocalSiloDetails, ILoggerFactory
{
    /// <summary>How much later than real time the connections' upkeep believes to be: every interval of theirs has passed.</summary>
    private const long Later = 1L << 40;

    private static readonly SimMeters Meters = new();
    private static readonly CredentialCheck Credentials = new(new EveryoneIsWelcome(), new AuthFailures());
    private readonly SimWorld _world;

    public SimSilo(SimWorld world, int number)
        : base(world.Scheduler, FormattableString.Invariant($"silo{number}"))
    {
        var chance = world.Scheduler.Chance;
        _world = world;
        Options = world.Options;
        SiloAddress = SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 11_000 + number), number);
        Time = new SimTime(this, chance.Next(-200, 200), chance.Next(3) == 0 ? 50 : 0);
        Policies = new NamespacePolicies(Options);
        Grains = new SimGrainFactory(this, world.Grains);
        Index = new SimIndex(this, world.Sessions);
        Loss = new SimLoss(this, world.Sessions, world.Faults);
        Logs = new MessageLogs(
            new SimLog(this, world.Store, world.Faults) { Outside = world.Outside },
            new WatchedLog(new MemoryMessageLog(Policies, Time), world.Ephemeral),
            Policies);
        Reader = new ChannelReader(Grains, Logs, Policies);
        Queue = new WorkQueue(item => Post(static i => ((IThreadPoolWorkItem)i!).Execute(), item));
        var patience = new Patience(Time);
        Hub = new RelayHub(Grains, Reader, Policies, this, new RelayMetrics(Meters, Time), Queue, patience, Publishes, new SimLogger<RelayHub>(this));
        Relays = new SimRelays(world, this);
        Gateway = new GatewayServices(
            Grains, Hub, new ChannelPublisher(Grains, Policies, Publishes, new PublishMetrics(Meters), Time, new SimLogger<ChannelPublisher>(this)),
            Credentials, new PlainTokens(), Policies, new PastGuard(Reader, Options, Time), this, Connections, new GatewayMetrics(Meters), Queue, patience, Options, Time, this);
    }

    public SiloAddress SiloAddress { get; }

    public IOptions<GridOptions> Options { get; }

    public SimTime Time { get; }

    public WorkQueue Queue { get; }

    public ChannelMetrics ChannelMetrics { get; } = new(Meters);

    public SessionMetrics SessionMetrics { get; } = new(Meters);

    public NamespacePolicies Policies { get; }

    public SimGrainFactory Grains { get; }

    public SimIndex Index { get; }

    public ISessionLoss Loss { get; }

    public MessageLogs Logs { get; }

    public IChannelReader Reader { get; }

    public RelayHub Hub { get; }

    public ISiloRelays Relays { get; }

    public PublishesUnderWay Publishes { get; } = new();

    public GatewayServices Gateway { get; }

    public ConnectionRegistry Connections { get; } = new();

    /// <summary>The sockets in the order in which they came, for upkeep in a fixed order.</summary>
    public List<SimSocket> Sockets { get; } = [];

    /// <summary>Sockets that clients opened and the silo has not begun to serve: a crash ends these too.</summary>
    public List<SimSocket> Opening { get; } = [];

    string ILocalSiloDetails.Name => Name;

    public string ClusterId => "simulation";

    public string DnsHostName => "localhost";

    public SiloAddress GatewayAddress => SiloAddress;

    public void Crash()
    {
        Trace("crashes");
        Alive = false;
        foreach (var socket in Opening.Concat(Sockets).ToArray()) socket.Cut(bothHear: false);
    }

    /// <summary>What the hosted services of a silo do now and then.</summary>
    public void StartUpkeep()
    {
        Run(async () =>
        {
            while (true)
            {
                await Delay(Scheduler.Span(4_000_000, 6_000_000));
                try
                {
                    // Less than no quiet: the relay's clock is the real one, which must not matter here.
                    await Hub.SweepAsync(-1, -1, askGrains: true);
                }
                catch (Exception e) when (e is LogUnavailableException or TimeoutException or OrleansException)
                {
                    Trace($"a round of position checks failed: {e.Message}");
                }
            }
        });
        Run(async () =>
        {
            while (true)
            {
                await Delay(Scheduler.Span(500_000, 2_000_000));
                foreach (var socket in Sockets.ToArray()) socket.Connection.Tick(Environment.TickCount64 + Later);
            }
        });
        Run(async () =>
        {
            // The watch for losses of the store.
            for (var seen = _world.Sessions.LostAt; ;)
            {
                await Delay(Scheduler.Span(500_000, 1_500_000));
                if (seen == _world.Sessions.LostAt) continue;
                seen = _world.Sessions.LostAt;
                foreach (var socket in Sockets.ToArray()) socket.Connection.ReportWithin(TimeSpan.Zero);
            }
        });
        Run(async () =>
        {
            while (true)
            {
                await Delay(Scheduler.Span(3_000_000, 6_000_000));
                foreach (var due in await Index.DueAsync(Time.GetUtcNow(), 100))
                {
                    try
                    {
                        await Grains.GetGrain<ISessionGrain>($"{due.Tenant}/{due.Session}").ExpireIfDueAsync();
                    }
                    catch (Exception e) when (Outage.Is(e))
                    {
                        Trace($"{due.Session} could not be asked whether it is over: {e.Message}");
                    }
                }
            }
        });
    }

    public ILogger CreateLogger(string categoryName) => new SimLogger<SimSilo>(this);

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public void Dispose()
    {
    }

    private sealed class SimMeters : IMeterFactory
    {
        private readonly Meter _meter = new("Grid.Simulation");

        public Meter Create(MeterOptions options) => _meter;

        public void Dispose() => _meter.Dispose();
    }

    private sealed class EveryoneIsWelcome : IAuthenticator
    {
        public ValueTask<Caller?> AuthenticateAsync(string credential, CancellationToken cancellationToken = default) =>
            ValueTask.FromResult<Caller?>(new Caller { Tenant = SimWorld.Tenant, User = credential, Capabilities = Capabilities.Everything });

        public ValueTask<(string Token, DateTimeOffset ExpiresAt)> MintAsync(
            string tenant, string user, Capabilities capabilities, TimeSpan lifetime, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();
    }

    private sealed class PlainTokens : IResumeTokens
    {
        public string Issue(ResumeClaims claims) =>
            string.Create(CultureInfo.InvariantCulture, $"{claims.Tenant}|{claims.Session}|{claims.User}|{claims.Generation}");

        public ResumeClaims? Verify(string token)
        {
            var parts = token.Split('|');
            return new ResumeClaims(parts[0], parts[1], parts[2], long.Parse(parts[3], CultureInfo.InvariantCulture));
        }
    }
}

/// <summary>The relays of silos over the simulated network.</summary>
internal sealed class SimRelays(SimWorld world, SimSilo self) : ISiloRelays
{
    public ISiloRelay On(SiloAddress silo) =>
        silo.Equals(self.SiloAddress) ? self.Hub : new RemoteRelay(world, self, world.SiloAt(silo));

    public IReadOnlyCollection<SiloAddress> LiveSilos() => world.BelievedAlive;

    public ValueTask<IReadOnlyCollection<SiloAddress>> GetMembersAsync() => new(world.BelievedAlive);

    public bool IsLive(SiloAddress silo) => world.IsBelievedAlive(silo);

    private sealed class RemoteRelay(SimWorld world, SimSilo from, SimSilo to) : ISiloRelay
    {
        public Task<DeliverAck> DeliverAsync(DeliverBatch batch) => Call(
            $"deliver {batch.Channel.Name} to {batch.Head.Epoch}:{batch.Head.Head} ({batch.Messages.Length}) at {to.Name}",
            () => to.Hub.DeliverAsync(batch));

        public Task<DeliverAck> GetInterestAsync(ChannelId channel) =>
            Call($"interest in {channel.Name} at {to.Name}", () => to.Hub.GetInterestAsync(channel));

        public Task<long> CountSubscribersAsync(ChannelId channel) => Call("count", () => to.Hub.CountSubscribersAsync(channel));

        public Task<bool> FenceAsync(string tenant, string session, long generation, CloseCode code) =>
            Call($"fence below {generation}", () => to.Hub.FenceAsync(tenant, session, generation, code));

        public Task<bool> HoldsAsync(string tenant, string session, long generation) =>
            Call("holds", () => to.Hub.HoldsAsync(tenant, session, generation));

        public Task<ConnectedSession[]> ListSessionsAsync(string tenant, string user, int limit) =>
            Call("sessions", () => to.Hub.ListSessionsAsync(tenant, user, limit));

        public Task WaitForPublishesAsync() => throw new NotSupportedException();

        private Task<T> Call<T>(string what, Func<Task<T>> body)
        {
            from.Trace(what);
            return world.Network.CallAsync(from, to, what, true, body);
        }
    }
}

/// <summary>Writes what the server logs into the trace.</summary>
internal sealed class SimLogger<T>(SimSilo silo) : ILogger<T>
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => silo.Scheduler.Tracing || logLevel >= LogLevel.Error;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        var text = $"{formatter(state, exception)} {exception?.GetType().Name} {exception?.Message}";
        silo.Trace(text);
        if (logLevel >= LogLevel.Error) silo.Scheduler.Fail($"An error was logged: {text} {exception?.StackTrace}");
    }
}

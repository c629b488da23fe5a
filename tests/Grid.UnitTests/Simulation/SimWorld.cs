using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Microsoft.Extensions.Options;

namespace Grid.UnitTests.Simulation;

/// <summary>
/// One schedule: silos, clients and a world that does to them, in virtual time and from one seed, what networks, disks and machines
/// do. First faults; then they stop, and everything has to come right by itself; then everybody leaves, and nothing may stay behind.
/// </summary>
internal sealed class SimWorld
{
    public const string Tenant = "sim";
    public const long ResumeWindowMicros = 30_000_000;
    private const long Second = 1_000_000;
    private const int MaxSteps = 400_000;

    /// <summary>Channels of every kind: durable, conflated, dropping, disconnecting, ephemeral.</summary>
    private static readonly string[] Kinds = ["d:a", "d:b", "d:a", "c:a", "x:a", "q:a", "e:a"];

    private readonly Dictionary<SiloAddress, SimSilo> _silos = [];
    private readonly HashSet<SiloAddress> _knownDead = [];
    private readonly List<SimClient> _clients = [];
    private readonly int _siloCount;
    private readonly long _duration;
    private int _siloNumber;

    public SimWorld(int seed, bool tracing)
    {
        Scheduler = new SimScheduler(seed, MaxSteps) { Tracing = tracing };
        var chance = Scheduler.Chance;
        Scheduler.Stutter = chance.NextDouble() * 0.4;
        Faults = new SimFaults
        {
            LoseCall = Rate(0.1), LoseAnswer = Rate(0.1), RepeatCall = Rate(0.2), SlowCall = Rate(0.1), StoreFails = Rate(0.1),
            LogFails = Rate(0.1),
            Split = Rate(0.1),
        };
        Network = new SimNetwork(Scheduler, Faults);
        Store = new SimStore(Scheduler);
        Ephemeral = new SimStore(Scheduler);
        Sessions = new SessionStore(Scheduler);
        Outside = new SimNode(Scheduler, "world");
        var options = new GridOptions
        {
            // Hellos and heartbeats go by the real clock, so they never are due here.
            HelloTimeout = TimeSpan.FromDays(100_000),
            Heartbeat = TimeSpan.FromDays(100_000),
            ResumeWindow = TimeSpan.FromMicroseconds(ResumeWindowMicros),
            MaxOutboundBytes = chance.Next(600, 5_000),
            MaxInFlightPublishBytes = chance.Next(600, 10_000),
        };
        options.Namespaces["c"] = new NamespacePolicy { SlowConsumer = SlowConsumerPolicy.Conflate };
        options.Namespaces["x"] = new NamespacePolicy { SlowConsumer = SlowConsumerPolicy.Drop };
        options.Namespaces["q"] = new NamespacePolicy { SlowConsumer = SlowConsumerPolicy.Disconnect };
        options.Namespaces["e"] = new NamespacePolicy { Durability = Durability.Ephemeral, MaxMessages = chance.Next(3, 50) };
        Options = Microsoft.Extensions.Options.Options.Create(options);
        Policies = new NamespacePolicies(Options);
        Channels = [.. Enumerable.Range(0, chance.Next(1, 3)).Select(_ => Kinds[chance.Next(Kinds.Length)]).Distinct()];
        AllDurable = Channels.All(c => !c.StartsWith('e'));
        Purges = Scheduler.Happens(0.12);
        Grains = new SimGrains(this);
        _siloCount = chance.Next(1, 4);
        _duration = chance.Next(3, 20) * Second;
    }

    public SimScheduler Scheduler { get; }

    public SimFaults Faults { get; }

    public SimNetwork Network { get; }

    public SimStore Store { get; }

    /// <summary>What the logs of ephemeral channels ever held.</summary>
    public SimStore Ephemeral { get; }

    public SessionStore Sessions { get; }

    public SimGrains Grains { get; }

    public SimNode Outside { get; }

    public IOptions<GridOptions> Options { get; }

    public NamespacePolicies Policies { get; }

    public IReadOnlyList<string> Channels { get; }

    public bool AllDurable { get; }

    public bool Purges { get; }

    public bool FaultsOver { get; private set; }

    public List<SimSilo> LiveSilos { get; } = [];

    public IReadOnlyCollection<SiloAddress> BelievedAlive => [.. _silos.Keys.Where(s => !_knownDead.Contains(s))];

    public bool IsBelievedAlive(SiloAddress silo) => !_knownDead.Contains(silo);

    public SimSilo SiloAt(SiloAddress silo) => _silos[silo];

    /// <summary>Runs the schedule to its end.</summary>
    /// <exception cref="SimulationException">A promise was broken.</exception>
    public void Run()
    {
        for (var i = 0; i < _siloCount; i++) StartSilo();
        PlanClients();
        PlanFaults();
        Scheduler.RunUntil(_duration);
        Calm();

        // Three sweeps after the last fault, everything has to be where it belongs.
        WaitUntil("the clients have settled", 90, () => _clients.All(c => c.Settled));
        WaitUntil("every subscription has reached the head", 25, () => Lagging() is null);
        foreach (var channel in Channels) _clients[0].Publish(_clients[0].Views.First(v => v.Channel == channel));
        WaitUntil("the last publishes were answered", 30, () => _clients.All(c => c.Settled));
        WaitUntil("every subscription has reached the head again", 25, () => Lagging() is null);
        CheckPublishes();

        foreach (var client in _clients) client.Leave();
        
        // The window of a session whose silo died starts only when the sweep looks at it, a window later.
        Scheduler.RunUntil(Scheduler.Now + (2 * ResumeWindowMicros) + (30 * Second));
        CheckNothingStays();
    }

    private double Rate(double most) => Scheduler.Happens(0.4) ? 0 : Scheduler.Chance.NextDouble() * most;

    private void StartSilo()
    {
        var silo = new SimSilo(this, ++_siloNumber);
        _silos[silo.SiloAddress] = silo;
        LiveSilos.Add(silo);
        silo.Trace("starts");
        silo.StartUpkeep();
    }

    private void PlanClients()
    {
        var count = Scheduler.Chance.Next(1, 4);
        for (var i = 1; i <= count; i++)
        {
            var client = new SimClient(this, i);
            _clients.Add(client);
            Scheduler.In(Scheduler.Span(0, Second), client, client.Start);
            for (var act = Scheduler.Chance.Next(8, 30); act > 0; act--)
                Scheduler.In(Scheduler.Chance.NextInt64(_duration), client, client.Act);
        }
    }

    private void PlanFaults()
    {
        void Plan(double likely, int most, Action fault)
        {
            for (var i = Scheduler.Happens(likely) ? Scheduler.Chance.Next(1, most + 1) : 0; i > 0; i--)
                Scheduler.In(Scheduler.Chance.NextInt64(_duration), Outside, fault);
        }

        Plan(0.5, 3, Crash);
        Plan(0.4, 4, () => OnAnyActivation(Grains.Split));
        Plan(0.4, 4, () => OnAnyActivation(a => a.Silo.Post(_ => a.Deactivate(), null)));
        Plan(0.4, 4, () =>
        {
            if (AnyChannel() is { } id) Store.Trim(id, Scheduler.Chance.Next(0, Store.Of(id).Now.Messages.Count + 1));
        });
        Plan(Purges ? 1 : 0, 2, () =>
        {
            if (AnyChannel() is { } id) Store.Purge(id);
        });
        Plan(0.15, 2, () =>
        {
            if (Sessions.Rows.Count == 0) return;
            var key = Sessions.Rows.Keys.ElementAt(Scheduler.Chance.Next(Sessions.Rows.Count));
            Sessions.Lose(key);
            if (Scheduler.Happens(0.7) && Grains.Find("session", key) is { } activation) activation.Silo.Post(_ => activation.Deactivate(), null);
        });
    }

    private ChannelId? AnyChannel()
    {
        var durable = Channels.Where(c => !c.StartsWith('e')).ToArray();
        return durable.Length == 0 ? null : new ChannelId(Tenant, durable[Scheduler.Chance.Next(durable.Length)]);
    }

    private void OnAnyActivation(Action<SimActivation> fault)
    {
        var all = Grains.All.Where(a => a.Usable).ToArray();
        if (all.Length > 0) fault(all[Scheduler.Chance.Next(all.Length)]);
    }

    private void Crash()
    {
        if (LiveSilos.Count == 0) return;
        var silo = LiveSilos[Scheduler.Chance.Next(LiveSilos.Count)];
        LiveSilos.Remove(silo);
        silo.Crash();
        Scheduler.In(Scheduler.Span(0, 2 * Second), Outside, () =>
        {
            Outside.Trace($"{silo.Name} is known to be dead");
            _knownDead.Add(silo.SiloAddress);

            // Entries of the directory that the dead silo held are gone, and their grains with them.
            foreach (var activation in Grains.All.Where(a => a.Usable).ToArray())
            {
                if (Scheduler.Happens(0.3)) activation.Silo.Post(_ => activation.Deactivate(), null);
            }
        });
        if (LiveSilos.Count == 0 || Scheduler.Happens(0.7)) Scheduler.In(Scheduler.Span(10_000, 3 * Second), Outside, StartSilo);
    }

    /// <summary>All faults end; what they left behind stays.</summary>
    private void Calm()
    {
        Outside.Trace("all faults end");
        Faults.End();
        FaultsOver = true;
        if (LiveSilos.Count == 0) StartSilo();

        // An activation that the directory lost is found out and ends.
        foreach (var stray in Grains.Strays.ToArray())
            Scheduler.In(Scheduler.Span(0, 5 * Second), stray.Silo, stray.Deactivate);
        Scheduler.RunUntil(Scheduler.Now + (6 * Second));
    }

    private void WaitUntil(string what, int seconds, Func<bool> condition)
    {
        var deadline = Scheduler.Now + (seconds * Second);
        while (!condition())
        {
            if (Scheduler.Now >= deadline)
            {
                throw new SimulationException(
                    $"{seconds} s after the faults ended it is not so that {what}: {Lagging()} {string.Join("; ", _clients.Where(c => !c.Settled).Select(c => c.State))}");
            }

            Scheduler.RunUntil(Scheduler.Now + (Second / 2));
        }
    }

    private string? Lagging()
    {
        foreach (var client in _clients)
        {
            foreach (var view in client.Views)
            {
                if (!view.Active || HeadOf(view) is not { } head || view.Cursor == head) continue;
                return $"{client.Name} is at {view.Cursor} of {view.Channel}, which reaches to {head}";
            }
        }

        return null;
    }

    private Position? HeadOf(SimView view)
    {
        if (view.IsDurable) return view.Record.Head.Position;
        var id = new ChannelId(Tenant, view.Channel);
        return Grains.Find("channel", id.ToString()) is { } activation
            ? activation.Silo.Logs.Ephemeral.GetHeadAsync(id).AsTask().GetAwaiter().GetResult().Position : null;
    }

    private void CheckPublishes()
    {
        foreach (var client in _clients)
        {
            foreach (var publish in client.Publishes)
            {
                var view = client.Views.First(v => v.Channel == publish.Channel);
                var times = view.Record.Epochs.Values.Sum(e => e.Messages.Count(m => Text(m) == publish.Text));
                if (times > 0 && publish.Conflict && view.Record.Epochs.Count == 1) throw new SimulationException($"{publish.Text} was refused as a conflict, and is stored.");

                // What a purge, or the end of a silo's memory, forgot may come once more.
                if (times > 1 && !(publish.MayRetry && view.Record.Epochs.Count > 1))
                    throw new SimulationException($"{publish.Text} is stored {times} times.");
            }

            foreach (var view in client.Views) CheckOrder(client, view);
        }

        static string Text(Message message) => Encoding.UTF8.GetString(message.Payload.Bytes.Span)[1..^1];
    }

    /// <summary>
    /// What a client publishes to a channel stands in the order in which it was sent. Where messages and their keys were forgotten in
    /// between, that is so only for what one connection sent once: a repeat is then a new message.
    /// </summary>
    private static void CheckOrder(SimClient client, SimView view)
    {
        var forgets = view.Record.Epochs.Count > 1;
        var stored = client.Publishes.Where(p => p.Channel == view.Channel && p.Stored is not null && (!forgets || p.Attempts == 1));
        foreach (var group in stored.GroupBy(p => (p.Stored!.Value.Epoch, forgets ? p.Connection : 0)))
        {
            foreach (var (before, publish) in group.Zip(group.Skip(1)))
            {
                if (before.Stored!.Value.Offset >= publish.Stored!.Value.Offset)
                    throw new SimulationException($"{before.Text} was sent before {publish.Text}, and is stored behind it.");
            }
        }
    }

    private void CheckNothingStays()
    {
        if (Sessions.Rows.Count > 0) throw new SimulationException($"Sessions stay behind: {string.Join(' ', Sessions.Rows.Keys)}");
        if (Sessions.Index.Count > 0) throw new SimulationException($"Entries of sessions stay behind: {string.Join(' ', Sessions.Index.Keys)}");
        foreach (var silo in LiveSilos)
        {
            if (silo.Connections.Count > 0) throw new SimulationException($"{silo.Name} keeps {silo.Connections.Count} connections.");
            if (silo.Hub.ChannelCount > 0) throw new SimulationException($"{silo.Name} keeps {silo.Hub.ChannelCount} channels.");
            foreach (var client in _clients)
            {
                var known = silo.Hub.ListSessionsAsync(Tenant, client.Name, 10).GetAwaiter().GetResult();
                if (known.Length > 0) throw new SimulationException($"{silo.Name} keeps sockets of {client.Name}.");
            }
        }
    }
}

using System.Reflection;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Sessions;
using Orleans.Core;
using Orleans.Storage;
using Orleans.Timers;

namespace Grid.UnitTests.Simulation;

/// <summary>One activation of a grain: the real class, with a host that can be split in two, moved and lost.</summary>
internal sealed class SimActivation : IGrainContext, IGrainRuntime, IServiceProvider
{
    private static readonly Enter EnterContext = typeof(IGrainContext).Assembly.GetType("Orleans.Runtime.RuntimeContext", true)!
        .GetMethod("SetExecutionContext", BindingFlags.NonPublic | BindingFlags.Static)!.CreateDelegate<Enter>();

    private readonly SimGrains _host;
    private readonly bool _reentrant;
    private readonly Task _active;
    private Task _turn = Task.CompletedTask;
    private int _running;

    public SimActivation(SimGrains host, SimSilo silo, string kind, string key)
    {
        (_host, Silo, Kind, Key) = (host, silo, kind, key);
        GrainId = GrainId.Create(kind, key);
        _reentrant = kind == "channel";
        SimState? state = null;
        EnterContext(this, out var before);
        try
        {
            if (_reentrant)
            {
                Grain = new ChannelGrain(silo.Logs, silo.Policies, silo.Relays, silo.Publishes, silo.Queue, silo.ChannelMetrics, silo.Time, new SimLogger<ChannelGrain>(silo));
            }
            else
            {
                state = new SimState(key, silo, host.World.Sessions, host.World.Faults);
                Grain = new SessionGrain(
                    state, silo.Index, silo.Relays, silo.Loss, silo.SessionMetrics, silo.Options, silo.Time, new SimLogger<SessionGrain>(silo));
            }
        }
        finally
        {
            EnterContext(before!, out _);
        }

        silo.Trace($"{kind} {key} is activated");
        _active = ActivateAsync(state);
    }

    private delegate void Enter(IGrainContext context, out IGrainContext? before);

    public SimSilo Silo { get; }

    public string Kind { get; }

    public string Key { get; }

    public Grain Grain { get; }

    public bool Closing { get; private set; }

    public bool Usable => !Closing && Silo.Alive;

    public GrainId GrainId { get; }

    public IServiceProvider ActivationServices => this;

    public SiloAddress SiloAddress => Silo.SiloAddress;

    GrainReference IGrainContext.GrainReference => throw new NotSupportedException();

    object IGrainContext.GrainInstance => Grain;

    ActivationId IGrainContext.ActivationId => throw new NotSupportedException();

    GrainAddress IGrainContext.Address => throw new NotSupportedException();

    IGrainLifecycle IGrainContext.ObservableLifecycle => throw new NotSupportedException();

    IWorkItemScheduler IGrainContext.Scheduler => throw new NotSupportedException();

    Task IGrainContext.Deactivated => throw new NotSupportedException();

    string IGrainRuntime.SiloIdentity => Silo.Name;

    IGrainFactory IGrainRuntime.GrainFactory => Silo.Grains;

    ITimerRegistry IGrainRuntime.TimerRegistry => throw new NotSupportedException();

    IServiceProvider IGrainRuntime.ServiceProvider => this;

    TimeProvider IGrainRuntime.TimeProvider => Silo.Time;

    public object? GetService(Type serviceType) => serviceType == typeof(IGrainRuntime) ? this : null;

    /// <summary>Runs a call, one after the other where the grain is not reentrant. What comes too late goes where the grain is now.</summary>
    public async Task<T> InvokeAsync<T>(string what, Func<Grain, Task<T>> call)
    {
        if (Closing) return await _host.CallAsync(Silo, Kind, Key, what, false, call);
        _running++;
        try
        {
            await _active;
            if (_reentrant) return await call(Grain);
            var before = _turn;
            var mine = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _turn = mine.Task;
            await before;
            try
            {
                return await call(Grain);
            }
            catch (InconsistentStateException)
            {
                Deactivate();
                throw;
            }
            finally
            {
                mine.SetResult();
            }
        }
        finally
        {
            _running--;
            if (Closing) _ = FinishAsync();
        }
    }

    /// <summary>Ends the activation when what it is doing is done.</summary>
    public void Deactivate()
    {
        if (Closing) return;
        Closing = true;
        Silo.Trace($"{Kind} {Key} is deactivated");
        _host.Forget(this);
        _ = FinishAsync();
    }

    public void DeactivateOnIdle(IGrainContext grainContext) => Deactivate();

    void IGrainRuntime.DelayDeactivation(IGrainContext grainContext, TimeSpan timeSpan) => throw new NotSupportedException();

    IStorage<TGrainState> IGrainRuntime.GetStorage<TGrainState>(IGrainContext grainContext) => throw new NotSupportedException();

    void IGrainContext.SetComponent<TComponent>(TComponent? value)
        where TComponent : class => throw new NotSupportedException();

    void IGrainContext.ReceiveMessage(object message) => throw new NotSupportedException();

    void IGrainContext.Activate(Dictionary<string, object>? requestContext, CancellationToken cancellationToken) => throw new NotSupportedException();

    void IGrainContext.Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken) => Deactivate();

    void IGrainContext.Rehydrate(IRehydrationContext context) => throw new NotSupportedException();

    void IGrainContext.Migrate(Dictionary<string, object>? requestContext, CancellationToken cancellationToken) => throw new NotSupportedException();

    object? Orleans.Serialization.Invocation.ITargetHolder.GetTarget() => Grain;

    object? Orleans.Serialization.Invocation.ITargetHolder.GetComponent(Type componentType) => null;

    bool IEquatable<IGrainContext>.Equals(IGrainContext? other) => ReferenceEquals(this, other);

    private async Task ActivateAsync(SimState? state)
    {
        try
        {
            if (state is not null) await state.ReadStateAsync();
            await Grain.OnActivateAsync(CancellationToken.None);
        }
        catch (Exception)
        {
            Deactivate();
            throw;
        }
    }

    private async Task FinishAsync()
    {
        if (_running > 0) return;
        _running = int.MinValue / 2;
        await Grain.OnDeactivateAsync(default, CancellationToken.None);
    }
}

/// <summary>Finds activations: a directory that loses entries, and callers that remember old ones.</summary>
internal sealed class SimGrains(SimWorld world)
{
    private readonly Dictionary<string, SimActivation> _directory = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Silo, string Id), SimActivation> _remembered = [];

    public SimWorld World => world;

    /// <summary>Activations that the directory no longer knows.</summary>
    public List<SimActivation> Strays { get; } = [];

    public IEnumerable<SimActivation> All => _directory.Values;

    public SimActivation? Find(string kind, string key) =>
        _directory.TryGetValue($"{kind}/{key}", out var found) && found.Usable ? found : null;

    public async Task<T> CallAsync<T>(SimSilo from, string kind, string key, string what, bool mayRepeat, Func<Grain, Task<T>> call)
    {
        var activation = Resolve(from, kind, key);
        if (activation is null) throw new SiloUnavailableException($"{kind} {key} is on a silo that is gone");
        what = $"{what} at {kind} {key}";
        from.Trace($"{what} on {activation.Silo.Name}");
        return await world.Network.CallAsync(from, activation.Silo, what, mayRepeat, () => activation.InvokeAsync(what, call));
    }

    public void Forget(SimActivation activation)
    {
        var id = $"{activation.Kind}/{activation.Key}";
        if (_directory.TryGetValue(id, out var known) && known == activation) _directory.Remove(id);
        Strays.Remove(activation);
    }

    /// <summary>The directory loses an entry; the activation does not know.</summary>
    public void Split(SimActivation activation)
    {
        Forget(activation);
        Strays.Add(activation);
        activation.Silo.Trace($"{activation.Kind} {activation.Key} is lost from the directory");
    }

    private SimActivation? Resolve(SimSilo from, string kind, string key)
    {
        var scheduler = world.Scheduler;
        var id = $"{kind}/{key}";
        if (_remembered.TryGetValue((from.Name, id), out var remembered) && remembered.Usable) return remembered;
        if (_directory.TryGetValue(id, out var known))
        {
            if (known.Silo.Alive && !known.Closing)
            {
                _remembered[(from.Name, id)] = known;
                if (scheduler.Happens(world.Faults.Split)) Split(known);
                return known;
            }

            // Until the silo is known to have died, its grains are believed to live there.
            if (!known.Closing && world.IsBelievedAlive(known.Silo.SiloAddress)) return null;
            _directory.Remove(id);
        }

        var live = world.LiveSilos;
        var place = kind == "session" ? from : live[scheduler.Chance.Next(live.Count)];
        var outer = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(place);
        try
        {
            var made = new SimActivation(this, place, kind, key);
            if (made.Usable) _directory[id] = made;
            return _remembered[(from.Name, id)] = made;
        }
        finally
        {
            SynchronizationContext.SetSynchronizationContext(outer);
        }
    }
}

/// <summary>Grains as one silo sees them.</summary>
internal sealed class SimGrainFactory(SimSilo silo, SimGrains grains) : IGrainFactory
{
    public TGrainInterface GetGrain<TGrainInterface>(string primaryKey, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithStringKey =>
        (TGrainInterface)(typeof(TGrainInterface) == typeof(ISessionGrain)
            ? new SessionProxy(silo, grains, primaryKey) : (object)new ChannelProxy(silo, grains, primaryKey));

    public TGrainInterface GetGrain<TGrainInterface>(Guid primaryKey, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithGuidKey => throw new NotSupportedException();

    public TGrainInterface GetGrain<TGrainInterface>(long primaryKey, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithIntegerKey => throw new NotSupportedException();

    public TGrainInterface GetGrain<TGrainInterface>(Guid primaryKey, string keyExtension, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithGuidCompoundKey => throw new NotSupportedException();

    public TGrainInterface GetGrain<TGrainInterface>(long primaryKey, string keyExtension, string? grainClassNamePrefix = null)
        where TGrainInterface : IGrainWithIntegerCompoundKey => throw new NotSupportedException();

    public TGrainObserverInterface CreateObjectReference<TGrainObserverInterface>(IGrainObserver obj)
        where TGrainObserverInterface : IGrainObserver => throw new NotSupportedException();

    public void DeleteObjectReference<TGrainObserverInterface>(IGrainObserver obj)
        where TGrainObserverInterface : IGrainObserver => throw new NotSupportedException();

    public IGrain GetGrain(Type grainInterfaceType, Guid grainPrimaryKey) => throw new NotSupportedException();

    public IGrain GetGrain(Type grainInterfaceType, long grainPrimaryKey) => throw new NotSupportedException();

    public IGrain GetGrain(Type grainInterfaceType, string grainPrimaryKey) => throw new NotSupportedException();

    public IGrain GetGrain(Type grainInterfaceType, Guid grainPrimaryKey, string keyExtension) => throw new NotSupportedException();

    public IGrain GetGrain(Type grainInterfaceType, long grainPrimaryKey, string keyExtension) => throw new NotSupportedException();

    public TGrainInterface GetGrain<TGrainInterface>(GrainId grainId)
        where TGrainInterface : IAddressable => throw new NotSupportedException();

    public IAddressable GetGrain(GrainId grainId) => throw new NotSupportedException();

    public IAddressable GetGrain(GrainId grainId, GrainInterfaceType interfaceType) => throw new NotSupportedException();

    public IAddressable GetGrain(Type interfaceType, IdSpan grainKey, string grainClassNamePrefix) => throw new NotSupportedException();

    public IAddressable GetGrain(Type interfaceType, IdSpan grainKey) => throw new NotSupportedException();
}

internal sealed class ChannelProxy(SimSilo silo, SimGrains grains, string key) : IChannelGrain, IChannelFeedGrain
{
    public Task<PublishReceipt[]> PublishAsync(PublishBatch batch) => Call(
        $"publish of {batch.Drafts.Length}",
        silo.Policies.For(ChannelId.Parse(key).Name).KeyWindow > TimeSpan.Zero && Array.TrueForAll(batch.Drafts, d => d.Key is not null),
        g => ((ChannelGrain)g).PublishAsync(batch));

    public Task<ChannelPage> ReadAsync(long after, int limit) => Call("read", true, g => ((ChannelGrain)g).ReadAsync(after, limit));

    public Task<ChannelHead> GetHeadAsync() => Call("head", true, g => ((ChannelGrain)g).GetHeadAsync());

    public Task<ChannelHead> AttachSiloAsync(SiloAddress address) => Call("attach", true, g => ((ChannelGrain)g).AttachSiloAsync(address));

    private Task<T> Call<T>(string what, bool mayRepeat, Func<Grain, Task<T>> call) =>
        grains.CallAsync(silo, "channel", key, what, mayRepeat, call);
}

internal sealed class SessionProxy(SimSilo silo, SimGrains grains, string key) : ISessionGrain
{
    public Task<SessionAttached> AttachAsync(SessionAttach request) => Call("attach", g => g.AttachAsync(request));

    public Task<SessionCallStatus> ChangeAsync(SessionChange change) => Call("change", g => FencedAsync(change.Generation, g.ChangeAsync(change)));

    public Task<SessionCallStatus> CheckpointAsync(SessionCheckpoint checkpoint) => Call(
        checkpoint.Detached ? "last checkpoint" : "checkpoint", g => FencedAsync(checkpoint.Generation, g.CheckpointAsync(checkpoint)));

    public Task<bool> CloseAsync(CloseCode code) => Call("close", g => g.CloseAsync(code));

    public Task CloseUnknownAsync() => Call("close though unknown", async g =>
    {
        await g.CloseUnknownAsync();
        return true;
    });

    public Task<SessionDescription?> DescribeAsync() => Call("describe", g => g.DescribeAsync());

    public Task ExpireIfDueAsync() => Call("expire", async g =>
    {
        await g.ExpireIfDueAsync();
        return true;
    });

    /// <summary>Where a newer socket's generation is stored, an older one's call never succeeds.</summary>
    private async Task<SessionCallStatus> FencedAsync(long generation, Task<SessionCallStatus> call)
    {
        var newest = grains.World.Sessions.GenerationOf(key);
        var status = await call;
        if (status == SessionCallStatus.Ok && generation < newest)
            grains.World.Scheduler.Fail($"{key}: a call of generation {generation} succeeded after {newest} was stored.");
        return status;
    }

    private Task<T> Call<T>(string what, Func<SessionGrain, Task<T>> call) =>
        grains.CallAsync(silo, "session", key, what, false, g => call((SessionGrain)g));
}

using System.Reflection;
using Orleans.Core;
using Orleans.Timers;

namespace Grid.UnitTests;

/// <summary>
/// What a grain needs of its silo: its key, a scheduler on which one turn runs at a time, and somebody who takes its wish to end.
/// </summary>
internal sealed class GrainHost(TimeProvider time, GrainId id) : IGrainContext, IGrainRuntime, IServiceProvider
{
    private static readonly Enter EnterContext = typeof(IGrainContext).Assembly.GetType("Orleans.Runtime.RuntimeContext", true)!
        .GetMethod("SetExecutionContext", BindingFlags.NonPublic | BindingFlags.Static)!.CreateDelegate<Enter>();

    private readonly Turns _turns = new();

    private delegate void Enter(IGrainContext context, out IGrainContext? before);

    /// <summary>Whether the grain wished to end.</summary>
    public bool Deactivated { get; private set; }

    public GrainId GrainId => id;

    public IServiceProvider ActivationServices => this;

    TimeProvider IGrainRuntime.TimeProvider => time;

    GrainReference IGrainContext.GrainReference => throw new NotSupportedException();

    object IGrainContext.GrainInstance => throw new NotSupportedException();

    ActivationId IGrainContext.ActivationId => throw new NotSupportedException();

    GrainAddress IGrainContext.Address => throw new NotSupportedException();

    IGrainLifecycle IGrainContext.ObservableLifecycle => throw new NotSupportedException();

    IWorkItemScheduler IGrainContext.Scheduler => throw new NotSupportedException();

    Task IGrainContext.Deactivated => throw new NotSupportedException();

    string IGrainRuntime.SiloIdentity => "silo";

    SiloAddress IGrainRuntime.SiloAddress => throw new NotSupportedException();

    IGrainFactory IGrainRuntime.GrainFactory => throw new NotSupportedException();

    ITimerRegistry IGrainRuntime.TimerRegistry => throw new NotSupportedException();

    IServiceProvider IGrainRuntime.ServiceProvider => this;

    /// <summary>Makes a grain.</summary>
    public T Make<T>(Func<T> grain)
    {
        EnterContext(this, out var before);
        try
        {
            return grain();
        }
        finally
        {
            EnterContext(before!, out _);
        }
    }

    /// <summary>Calls the grain, on its scheduler.</summary>
    public Task<T> CallAsync<T>(Func<Task<T>> call) =>
        Task.Factory.StartNew(call, CancellationToken.None, TaskCreationOptions.DenyChildAttach, _turns).Unwrap();

    /// <summary>Calls the grain, on its scheduler.</summary>
    public Task CallAsync(Func<Task> call) =>
        Task.Factory.StartNew(call, CancellationToken.None, TaskCreationOptions.DenyChildAttach, _turns).Unwrap();

    /// <summary>The process ends: nothing of the grain runs any more.</summary>
    public void Crash() => _turns.IsDead = true;

    public object? GetService(Type serviceType) => serviceType == typeof(IGrainRuntime) ? this : null;

    void IGrainRuntime.DeactivateOnIdle(IGrainContext context) => Deactivated = true;

    void IGrainRuntime.DelayDeactivation(IGrainContext context, TimeSpan timeSpan) => throw new NotSupportedException();

    IStorage<T> IGrainRuntime.GetStorage<T>(IGrainContext context) => throw new NotSupportedException();

    void IGrainContext.SetComponent<T>(T? value)
        where T : class => throw new NotSupportedException();

    void IGrainContext.ReceiveMessage(object message) => throw new NotSupportedException();

    void IGrainContext.Activate(Dictionary<string, object>? requestContext, CancellationToken cancellationToken) => throw new NotSupportedException();

    void IGrainContext.Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken) => Deactivated = true;

    void IGrainContext.Rehydrate(IRehydrationContext context) => throw new NotSupportedException();

    void IGrainContext.Migrate(Dictionary<string, object>? requestContext, CancellationToken cancellationToken) => throw new NotSupportedException();

    object? Orleans.Serialization.Invocation.ITargetHolder.GetTarget() => throw new NotSupportedException();

    object? Orleans.Serialization.Invocation.ITargetHolder.GetComponent(Type componentType) => null;

    bool IEquatable<IGrainContext>.Equals(IGrainContext? other) => ReferenceEquals(this, other);

    /// <summary>One turn at a time, until it is dead.</summary>
    private sealed class Turns : TaskScheduler
    {
        private readonly TaskFactory _one = new(new ConcurrentExclusiveSchedulerPair().ExclusiveScheduler);

        public bool IsDead { get; set; }

        protected override void QueueTask(Task task) => _one.StartNew(() =>
        {
            if (!IsDead) TryExecuteTask(task);
        });

        protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => false;

        protected override IEnumerable<Task> GetScheduledTasks() => [];
    }
}

using Grid.Server.Hosting;
using Grid.Server.Log;
using Orleans.Storage;

namespace Grid.Server.Sessions;

/// <summary>
/// Grain storage that takes a store which is out of reach calmly. Orleans reads a grain's state while it activates the grain, and
/// reports a failed activation three times as an error with a stack trace, for each session that anybody asks for during an outage.
/// Here such a read succeeds and leaves the state marked as <see cref="Unread"/>; the grain reads again before it does anything.
/// </summary>
internal sealed class PatientGrainStorage(IGrainStorage store) : IGrainStorage, ILifecycleParticipant<ISiloLifecycle>
{
    /// <summary>The etag of a state that could not be read. No state that was read or written has it.</summary>
    public const string Unread = "unread";

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => (store as ILifecycleParticipant<ISiloLifecycle>)?.Participate(lifecycle);

    /// <inheritdoc/>
    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        try
        {
            await store.ReadStateAsync(stateName, grainId, grainState);
        }
        catch (Exception e) when (Outage.Is(e))
        {
            grainState.State = Activator.CreateInstance<T>();
            grainState.RecordExists = false;
            grainState.ETag = Unread;
        }
    }

    /// <inheritdoc/>
    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ChangeAsync(() => store.WriteStateAsync(stateName, grainId, grainState), grainState.ETag);

    /// <inheritdoc/>
    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ChangeAsync(() => store.ClearStateAsync(stateName, grainId, grainState), grainState.ETag);

    private static async Task ChangeAsync(Func<Task> change, string? etag)
    {
        if (etag == Unread) throw new LogUnavailableException("The state was not read yet: its store is out of reach.");
        try
        {
            await change();
        }
        catch (Exception e) when (Outage.IsOfStore(e))
        {
            // One type for all stores, which other silos know too.
            throw new LogUnavailableException("The store of sessions is out of reach.", e);
        }
    }
}

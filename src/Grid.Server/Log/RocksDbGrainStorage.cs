using System.Text;
using Orleans.Storage;
using RocksDbSharp;

namespace Grid.Server.Log;

/// <summary>
/// Grain state in the embedded store. Writes go through the store's writer, so that many grains' writes, and appends, share one
/// write to the disk.
/// </summary>
/// <remarks>
/// States are kept in Orleans' own binary form: their types are Grid's, with <c>[Id]</c>s that stay for ever, which is what makes
/// that form readable by later versions; and it is several times smaller and quicker than JSON for a session's cursors.
/// </remarks>
/// <param name="store">The store.</param>
/// <param name="serializer">Turns states into bytes and back.</param>
/// <param name="provider">The provider's name; two providers do not see each other's states.</param>
/// <param name="synced">
/// Whether a write ends only when it is synced to the device. Without it, a crash of the process loses nothing, and a power loss at
/// most the last moments.
/// </param>
internal sealed class RocksDbGrainStorage(RocksDbStore store, IGrainStorageSerializer serializer, string provider, bool synced)
    : IGrainStorage
{
    /// <inheritdoc/>
    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var record = Read(Key(stateName, grainId));
        if (record is null)
        {
            grainState.State = Activator.CreateInstance<T>();
            grainState.ETag = null;
            grainState.RecordExists = false;
        }
        else
        {
            grainState.State = serializer.Deserialize<T>(new BinaryData(record.AsMemory(StateRecord.HeaderBytes)));
            grainState.ETag = StateRecord.ETag(record);
            grainState.RecordExists = true;
        }

        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var state = serializer.Serialize(grainState.State).ToMemory();
        grainState.ETag = await ChangeAsync(stateName, grainId, grainState.ETag, state);
        grainState.RecordExists = true;
    }

    /// <inheritdoc/>
    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await ChangeAsync(stateName, grainId, grainState.ETag, state: null);
        grainState.State = Activator.CreateInstance<T>();
        grainState.ETag = null;
        grainState.RecordExists = false;
    }

    private async Task<string?> ChangeAsync(string stateName, GrainId grainId, string? etag, ReadOnlyMemory<byte>? state)
    {
        var outcome = await store.Writer.RunAsync(new StateJob(Key(stateName, grainId), etag, state, synced), CancellationToken.None);
        return outcome.Written
            ? outcome.ETag
            : throw new InconsistentStateException(
                $"The state '{stateName}' of grain {grainId} was changed by another activation.", outcome.ETag ?? "none", etag ?? "none");
    }

    private byte[]? Read(byte[] key)
    {
        try
        {
            using var lease = store.Lease();
            return lease.Database.Db.Get(key.AsSpan(), lease.Database.State.Handle);
        }
        catch (RocksDbException e)
        {
            throw new LogUnavailableException(RocksDbStore.Explain(e), e);
        }
    }

    /// <summary>Provider and state name have no zero byte, so the parts cannot run into one another.</summary>
    private byte[] Key(string stateName, GrainId grainId) => Encoding.UTF8.GetBytes($"{provider}\0{stateName}\0{grainId}");
}

using System.Buffers.Binary;

namespace Grid.Server.Log;

/// <summary>A grain's stored state: version (1), etag (8), then what the serializer made of it.</summary>
internal static class StateRecord
{
    /// <summary>Bytes before the state.</summary>
    public const int HeaderBytes = 9;

    private const byte Version = 1;

    /// <summary>Puts a record together.</summary>
    public static byte[] ToBytes(long etag, ReadOnlySpan<byte> state)
    {
        var bytes = new byte[HeaderBytes + state.Length];
        bytes[0] = Version;
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(1), etag);
        state.CopyTo(bytes.AsSpan(HeaderBytes));
        return bytes;
    }

    /// <summary>The etag of a record.</summary>
    /// <exception cref="InvalidDataException">It is no record.</exception>
    public static string ETag(ReadOnlySpan<byte> record) => record.Length >= HeaderBytes && record[0] == Version
        ? Format(BinaryPrimitives.ReadInt64BigEndian(record[1..]))
        : throw new InvalidDataException("A grain's stored state has an unknown form.");

    /// <summary>An etag as grains see it.</summary>
    public static string Format(long etag) => etag.ToString("x16", System.Globalization.CultureInfo.InvariantCulture);
}

/// <summary>What became of a change to a grain's state.</summary>
/// <param name="Written">Whether it was made; false when the stored etag is another.</param>
/// <param name="ETag">The etag that is stored now; null for none.</param>
internal readonly record struct StateOutcome(bool Written, string? ETag);

/// <summary>Writes or (without a state) removes a grain's state if the stored etag is the one expected.</summary>
internal sealed class StateJob(byte[] key, string? expectedETag, ReadOnlyMemory<byte>? state, bool synced) : StoreJob<StateOutcome>
{
    private readonly string _row = "state/" + Convert.ToBase64String(key);

    /// <inheritdoc/>
    public override int Bytes => 256 + (state?.Length ?? 0);

    /// <inheritdoc/>
    public override bool Synced => synced;

    /// <inheritdoc/>
    public override bool Prepare(WriteGroup group)
    {
        if (!group.TryTouch(_row)) return false;
        var family = group.Database.State;
        var stored = group.Database.Db.Get(key.AsSpan(), family.Handle);
        var storedETag = stored is null ? null : StateRecord.ETag(stored);
        if (storedETag != expectedETag)
        {
            Result = new StateOutcome(false, storedETag);
        }
        else if (state is { } written)
        {
            // Random, so that no later incarnation of the row repeats one.
            var etag = Random.Shared.NextInt64();
            group.Rows.Put(family.Number, key, StateRecord.ToBytes(etag, written.Span));
            Result = new StateOutcome(true, StateRecord.Format(etag));
        }
        else
        {
            if (stored is not null) group.Rows.Delete(family.Number, key);
            Result = new StateOutcome(true, null);
        }

        return true;
    }
}

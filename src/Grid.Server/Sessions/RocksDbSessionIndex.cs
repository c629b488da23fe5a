using System.Buffers.Binary;
using System.Text;
using Grid.Server.Log;
using RocksDbSharp;

namespace Grid.Server.Sessions;

/// <summary>
/// The session index in the embedded store. Three rows per session, changed together: the entry itself (by tenant and session,
/// which says where the other two are), one by user, one by due time. Not synced: a lost entry comes back with the session's next
/// checkpoint.
/// </summary>
internal sealed class RocksDbSessionIndex(RocksDbStore store) : ISessionIndex
{
    private const byte EntryRow = (byte)'e';
    private const byte UserRow = (byte)'u';
    private const byte DueRow = (byte)'d';
    private const char Separator = '\0';

    /// <inheritdoc/>
    public async ValueTask SetAsync(SessionIndexEntry entry, CancellationToken cancellationToken = default) =>
        await store.Writer.RunAsync(new ChangeJob(entry.Tenant, entry.Session, entry), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask RemoveAsync(string tenant, string session, CancellationToken cancellationToken = default) =>
        await store.Writer.RunAsync(new ChangeJob(tenant, session, null), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<SessionIndexEntry>> ByUserAsync(
        string tenant, string user, int limit, CancellationToken cancellationToken = default)
    {
        var prefix = UserKey(tenant, user, string.Empty);
        return ValueTask.FromResult<IReadOnlyList<SessionIndexEntry>>(Scan(prefix, limit, (key, value) =>
            key.StartsWith(prefix)
                ? new SessionIndexEntry(tenant, Encoding.UTF8.GetString(key[prefix.Length..]), user, Time(value))
                : null));
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<SessionIndexEntry>> DueAsync(
        DateTimeOffset now, int limit, CancellationToken cancellationToken = default)
    {
        var last = now.ToUnixTimeMilliseconds();
        return ValueTask.FromResult<IReadOnlyList<SessionIndexEntry>>(Scan([DueRow], limit, (key, value) =>
        {
            if (key[0] != DueRow || BinaryPrimitives.ReadInt64BigEndian(key[1..]) > last) return null;
            var name = Encoding.UTF8.GetString(key[9..]).Split(Separator);
            return new SessionIndexEntry(name[0], name[1], Encoding.UTF8.GetString(value), Time(key[1..]));
        }));
    }

    private delegate SessionIndexEntry? RowReader(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value);

    private List<SessionIndexEntry> Scan(byte[] from, int limit, RowReader read)
    {
        try
        {
            using var lease = store.Lease();
            using var rows = lease.Database.Db.NewIterator(lease.Database.Sessions.Handle);
            var found = new List<SessionIndexEntry>();
            for (rows.Seek(from); found.Count < limit && rows.Valid(); rows.Next())
            {
                if (read(rows.GetKeySpan(), rows.GetValueSpan()) is not { } entry) return found;
                found.Add(entry);
            }

            Native.Instance.rocksdb_iter_get_error(rows.Handle);
            return found;
        }
        catch (RocksDbException e)
        {
            throw new LogUnavailableException(RocksDbStore.Explain(e), e);
        }
    }

    private static byte[] EntryKey(string tenant, string session) => Key(EntryRow, $"{tenant}{Separator}{session}");

    private static byte[] UserKey(string tenant, string user, string session) =>
        Key(UserRow, $"{tenant}{Separator}{user}{Separator}{session}");

    private static byte[] DueKey(long due, string tenant, string session)
    {
        var name = $"{tenant}{Separator}{session}";
        var key = new byte[9 + Encoding.UTF8.GetByteCount(name)];
        key[0] = DueRow;
        BinaryPrimitives.WriteInt64BigEndian(key.AsSpan(1), due);
        Encoding.UTF8.GetBytes(name, key.AsSpan(9));
        return key;
    }

    private static byte[] Key(byte kind, string rest)
    {
        var key = new byte[1 + Encoding.UTF8.GetByteCount(rest)];
        key[0] = kind;
        Encoding.UTF8.GetBytes(rest, key.AsSpan(1));
        return key;
    }

    private static byte[] Milliseconds(long value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(bytes, value);
        return bytes;
    }

    private static DateTimeOffset Time(ReadOnlySpan<byte> milliseconds) =>
        DateTimeOffset.FromUnixTimeMilliseconds(BinaryPrimitives.ReadInt64BigEndian(milliseconds));

    /// <summary>Replaces or (without an entry) removes the three rows of a session. The entry row: due (8), user.</summary>
    private sealed class ChangeJob(string tenant, string session, SessionIndexEntry? entry) : StoreJob<bool>
    {
        private readonly string _row = $"session/{tenant}/{session}";

        public override bool Synced => false;

        public override bool Prepare(WriteGroup group)
        {
            if (!group.TryTouch(_row)) return false;
            var (rows, family, key) = (group.Rows, group.Database.Sessions, EntryKey(tenant, session));
            var stored = group.Database.Db.Get(key.AsSpan(), family.Handle);
            if (stored is not null)
            {
                rows.Delete(family.Number, UserKey(tenant, Encoding.UTF8.GetString(stored.AsSpan(8)), session));
                rows.Delete(family.Number, DueKey(BinaryPrimitives.ReadInt64BigEndian(stored), tenant, session));
            }

            if (entry is null)
            {
                if (stored is not null) rows.Delete(family.Number, key);
            }
            else
            {
                var due = entry.DueAt.ToUnixTimeMilliseconds();
                var user = Encoding.UTF8.GetBytes(entry.User);
                rows.Put(family.Number, key, [.. Milliseconds(due), .. user]);
                rows.Put(family.Number, UserKey(tenant, entry.User, session), Milliseconds(due));
                rows.Put(family.Number, DueKey(due, tenant, session), user);
            }

            Result = stored is not null;
            return true;
        }
    }
}

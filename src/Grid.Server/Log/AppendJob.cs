using System.Threading.Tasks.Sources;
using Grid.Protocol;

namespace Grid.Server.Log;

/// <summary>
/// One append on its way to the disk. Reused, with the completion source in it, because at full speed there are hundreds of
/// thousands a second.
/// </summary>
internal sealed class AppendJob(RocksDbMessageLog log) : StoreJob, IValueTaskSource<AppendResult>
{
    /// <summary>Callers go on on the thread pool (or their grain's scheduler), never on the writer's thread.</summary>
    private ManualResetValueTaskSourceCore<AppendResult> _source = new() { RunContinuationsAsynchronously = true };

    private AppendRequest? _request;
    private ChannelState? _state;
    private ChannelView? _view;
    private AppendResult _result;
    private int _bytes;

    /// <inheritdoc/>
    public override int Bytes => _bytes;

    /// <summary>The token for the task.</summary>
    public short Version => _source.Version;

    /// <summary>Takes up a request.</summary>
    public void Begin(AppendRequest request)
    {
        _request = request;
        var bytes = 128;
        for (var i = 0; i < request.Messages.Count; i++) bytes += 128 + request.Messages[i].Payload.Bytes.Length;
        _bytes = bytes;
    }

    /// <inheritdoc/>
    public override bool Prepare(WriteGroup group)
    {
        var request = _request!;
        var state = log.State(request.Channel, group);
        _state = state;
        _view = null;

        // 1. The fence.
        if (request.ExpectedHead.Offset != state.Head || request.ExpectedHead.Epoch != state.Record.Epoch)
        {
            _result = AppendResult.HeadMoved(new Position(state.Record.Epoch, state.Head));
            return true;
        }

        // 2. The keys: those stored, and those of appends before this one in the same group.
        var first = state.Group != group.Number;
        if (FindSeen(group, state, request, first) is { } seen)
        {
            _result = AppendResult.KeysSeen(new Position(state.Record.Epoch, state.Head), seen);
            return true;
        }

        // 3. The rows: messages, and marks for the webhooks that they are the first work of.
        Store(group, state, request);
        var woken = log.Marks.Append(group, state, request.ExpectedHead);
        state.Group = group.Number;
        if (first) state.GroupFirst = request;
        _view = state.NewView();
        group.Count(request.Messages.Count);
        _result = AppendResult.Appended(new Position(state.Record.Epoch, state.Head));
        if (woken is not null) _result = _result with { Woken = woken };
        return true;
    }

    /// <inheritdoc/>
    public override void Commit()
    {
        if (_view is null) return;
        _state!.EndGroup(_view);

        // Not before: a sweep that looked too early would find nothing to trim, and forget the note.
        log.NoteLimits(_state);
    }

    /// <inheritdoc/>
    public override void Answer()
    {
        var result = _result;
        Drop();
        _source.SetResult(result);
    }

    /// <inheritdoc/>
    public override void Fail(Exception reason)
    {
        Drop();
        _source.SetException(reason);
    }

    /// <inheritdoc/>
    public AppendResult GetResult(short token)
    {
        try
        {
            return _source.GetResult(token);
        }
        finally
        {
            _source.Reset();
            log.Return(this);
        }
    }

    /// <inheritdoc/>
    public ValueTaskSourceStatus GetStatus(short token) => _source.GetStatus(token);

    /// <inheritdoc/>
    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);

    private void Drop()
    {
        _request = null;
        _state = null;
        _view = null;
        _result = default;
    }

    /// <summary>The messages whose key is known; null if none is.</summary>
    private static List<SeenKey>? FindSeen(WriteGroup group, ChannelState state, AppendRequest request, bool first)
    {
        if (request.KeyWindow <= TimeSpan.Zero) return null;
        List<SeenKey>? seen = null;
        Dictionary<string, long>? earlier = null;
        for (var i = 0; i < request.Messages.Count; i++)
        {
            if (request.Messages[i].Key is not { } key) continue;
            if (!first) earlier ??= KeysOfGroup(state);
            if (earlier is not null && earlier.TryGetValue(key, out var offset))
                (seen ??= []).Add(new SeenKey(i, offset));
            else if (state.Record.Number != 0 && KeyRecord.Find(group.Database, state.Record.Number, key, group.Now, out offset))
                (seen ??= []).Add(new SeenKey(i, offset));
        }

        return seen;
    }

    /// <summary>Built when a second append of a channel joins a group, which the sequencer of a channel does not cause.</summary>
    private static Dictionary<string, long> KeysOfGroup(ChannelState state)
    {
        if (state.GroupKeys is { } keys) return keys;
        keys = new Dictionary<string, long>(StringComparer.Ordinal);
        AddKeys(keys, state.GroupFirst!);
        state.GroupKeys = keys;
        return keys;
    }

    private static void AddKeys(Dictionary<string, long> keys, AppendRequest request)
    {
        foreach (var message in request.Messages)
        {
            if (message.Key is { } key) keys[key] = message.Offset;
        }
    }

    private void Store(WriteGroup group, ChannelState state, AppendRequest request)
    {
        var database = group.Database;
        var messages = request.Messages;
        if (state.Count == 0) StoreRecord(group, state, messages[0].At);
        var number = state.Record.Number;
        var total = state.Total;
        var expiresAt = group.Now + (long)request.KeyWindow.TotalMilliseconds;
        for (var i = 0; i < messages.Count; i++)
        {
            var message = messages[i];
            total += message.Payload.Bytes.Length;
            group.Rows.Put(
                database.Messages.Number, RowKeys.MessageBytes, MessageRecord.Size(message), out var key, out var value);
            RowKeys.Message(key, number, message.Offset);
            MessageRecord.Write(value, message, total);
            if (message.Key is { } idempotencyKey && expiresAt > group.Now) StoreKey(group, number, idempotencyKey, message.Offset, expiresAt);
        }

        if (state.Group == group.Number) AddKeys(KeysOfGroup(state), request);
        state.Total = total;
        state.Head += messages.Count;
    }

    /// <summary>The channel is made, or is empty: its record names the time of its oldest message, for retention.</summary>
    private void StoreRecord(WriteGroup group, ChannelState state, long at)
    {
        var record = state.Record;
        if (record.Number == 0) record = record with { Number = log.TakeNumber(group) };
        record = record with { IndexedAt = at };
        group.Rows.Put(group.Database.Channels.Number, RowKeys.Channel(state.Channel), record.ToBytes());
        group.Rows.Put(
            group.Database.Age.Number, RowKeys.Age(state.Channel, at, record.Number), RowKeys.Channel(state.Channel));
        state.Record = record;
    }

    private static void StoreKey(WriteGroup group, long number, string key, long offset, long expiresAt)
    {
        Span<byte> row = stackalloc byte[KeyRecord.MaxRowKeyBytes];
        row = row[..KeyRecord.WriteRowKey(row, number, key)];
        group.Rows.Put(group.Database.Keys.Number, row.Length, KeyRecord.Bytes, out var target, out var value);
        row.CopyTo(target);
        KeyRecord.Write(value, offset, expiresAt);
        group.Expiring.Add(group, expiresAt, row);
    }
}

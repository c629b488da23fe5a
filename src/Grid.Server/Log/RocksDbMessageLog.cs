using System.Collections.Concurrent;
using Grid.Abstractions;
using Grid.Server.Hosting;
using Grid.Server.Telemetry;
using Grid.Server.Webhooks.Store.RocksDb;
using Microsoft.Extensions.ObjectPool;

namespace Grid.Server.Log;

/// <summary>
/// The durable log of one machine, in the embedded store.
/// </summary>
/// <remarks>
/// <para>Appends of all channels go through <see cref="StoreWriter"/>, which shares one synced write among those that wait. The
/// writer knows the heads of the channels in use, so an append reads nothing but the idempotency keys that it brings, and writes
/// nothing but its messages and keys.</para>
/// <para>Messages of a channel lie side by side under a number and their offset. The head is the last of them: there is no second
/// place that could disagree. Readers work on what the last finished write published, and check that what they read has no hole; a
/// hole means that a trim was faster, and they start over from the new oldest.</para>
/// </remarks>
internal sealed partial class RocksDbMessageLog : IMessageLog, IAsyncDisposable
{
    /// <summary>Channels whose head is kept in memory: some 300 bytes each.</summary>
    public const int DefaultCachedChannels = 65_536;

    private readonly RocksDbStore _store;
    private readonly NamespacePolicies _policies;
    private readonly ChannelCache _cache;
    private readonly DefaultObjectPool<AppendJob> _jobs;
    private readonly ConcurrentDictionary<ChannelId, bool> _overLimit = new();
    private long _nextNumber;

    public RocksDbMessageLog(
        RocksDbStore store, NamespacePolicies policies, int cachedChannels = DefaultCachedChannels, LogMetrics? metrics = null)
    {
        _store = store;
        _policies = policies;
        _cache = new ChannelCache(cachedChannels);
        _jobs = new DefaultObjectPool<AppendJob>(new JobPolicy(this), 4096);
        store.Writer.Forget = Forget;
        store.Writer.Metrics = metrics;
    }

    /// <summary>The store.</summary>
    public RocksDbStore Store => _store;

    /// <summary>The marks of webhooks that its appends leave. On the writer's thread.</summary>
    public RocksDbMarks Marks { get; } = new();

    /// <summary>The policies by which it is swept.</summary>
    public NamespacePolicies Policies => _policies;

    /// <inheritdoc/>
    public ValueTask<AppendResult> AppendAsync(AppendRequest request, CancellationToken cancellationToken = default)
    {
        AppendCheck.Verify(request);
        cancellationToken.ThrowIfCancellationRequested();
        var job = _jobs.Get();
        job.Begin(request);
        if (_store.Writer.Enqueue(job) is { } waiting) return new ValueTask<AppendResult>(WaitAsync(job, waiting, cancellationToken));
        var answer = new ValueTask<AppendResult>(job, job.Version);

        // A caller that stops waiting does not stop the append: its outcome is then unknown to it.
        return cancellationToken.CanBeCanceled ? new ValueTask<AppendResult>(answer.AsTask().WaitAsync(cancellationToken)) : answer;
    }

    /// <inheritdoc/>
    public async ValueTask TrimAsync(ChannelId channel, long upTo, CancellationToken cancellationToken = default) =>
        await _store.Writer.RunAsync(new TrimJob(this, channel, upTo), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<ChannelHead> PurgeAsync(ChannelId channel, CancellationToken cancellationToken = default) =>
        await _store.Writer.RunAsync(new PurgeJob(this, channel), cancellationToken);

    /// <summary>Ends the store: the log is what most of it is for.</summary>
    public ValueTask DisposeAsync() => _store.DisposeAsync();

    /// <summary>The writer's state of a channel. On the writer's thread.</summary>
    public ChannelState State(ChannelId channel, WriteGroup group)
    {
        if (_cache.Find(channel) is { } known) return known;
        var stored = Load(group.Database, channel);
        var state = new ChannelState(channel, _policies.For(channel.Name), stored.Record, stored.Head, stored.Total);
        _cache.Add(state, group.Number);
        return state;
    }

    /// <summary>A channel number never used before. On the writer's thread.</summary>
    public long TakeNumber(WriteGroup group) => RocksDbStore.TakeChannelNumber(group, ref _nextNumber);

    /// <summary>Notes a channel that keeps more than its policy says, for the next sweep.</summary>
    public void NoteLimits(ChannelState state)
    {
        if (state.Count > (state.Policy.MaxMessages ?? long.MaxValue) || state.Bytes > (state.Policy.MaxBytes ?? long.MaxValue))
            _overLimit[state.Channel] = true;
    }

    /// <summary>The channels noted since the last call.</summary>
    public IReadOnlyList<ChannelId> TakeOverLimit()
    {
        var channels = _overLimit.Keys.ToArray();
        foreach (var channel in channels) _overLimit.TryRemove(channel, out _);
        return channels;
    }

    /// <summary>Takes a job back whose answer was collected.</summary>
    public void Return(AppendJob job) => _jobs.Return(job);

    /// <summary>A message that is known to be kept.</summary>
    /// <exception cref="InvalidDataException">It is not there.</exception>
    public static byte[] Stored(OpenDatabase database, long number, long offset)
    {
        Span<byte> key = stackalloc byte[RowKeys.MessageBytes];
        RowKeys.Message(key, number, offset);
        return database.Db.Get(key, database.Messages.Handle, database.ReadMessages)
            ?? throw new InvalidDataException($"Message {offset} of channel number {number} is missing from the store.");
    }

    private async Task<AppendResult> WaitAsync(AppendJob job, WaitingJob waiting, CancellationToken cancellationToken)
    {
        await _store.Writer.LetInAsync(waiting, cancellationToken);
        var answer = new ValueTask<AppendResult>(job, job.Version).AsTask();
        return await answer.WaitAsync(cancellationToken);
    }

    /// <summary>After a failed write, on the writer's thread: what is stored must be read again.</summary>
    private void Forget()
    {
        _cache.Clear();
        Marks.Forget();
        _nextNumber = 0;
    }

    private sealed class JobPolicy(RocksDbMessageLog log) : PooledObjectPolicy<AppendJob>
    {
        public override AppendJob Create() => new(log);

        public override bool Return(AppendJob obj) => true;
    }
}

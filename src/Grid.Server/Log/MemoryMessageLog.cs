using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;

namespace Grid.Server.Log;

/// <summary>
/// The log of ephemeral namespaces: the last messages of each channel, in the memory of one silo.
/// </summary>
/// <remarks>
/// <para>A channel keeps at most <see cref="MemoryChannel.MaxMessages"/> messages and <see cref="MemoryChannel.MaxBytes"/>, or what
/// its policy says if that is less, and remembers at most <see cref="MemoryChannel.MaxKeys"/> idempotency keys. It is forgotten when
/// no append came for <see cref="IdleAfter"/> (or for the policy's maximum age, if that is less), and when all channels together
/// take more than <see cref="MaxTotalBytes"/>, those longest without an append first.</para>
/// <para>A channel that was forgotten comes back under another epoch, so its consumers get a gap instead of offsets that mean
/// something else. To make that so without remembering forgotten channels, the epoch that a new channel gets is kept per bucket of
/// names, and changes whenever a channel of the bucket is forgotten.</para>
/// </remarks>
internal sealed class MemoryMessageLog : IMessageLog
{
    private const int Buckets = 16_384;

    private readonly ConcurrentDictionary<ChannelId, MemoryChannel> _channels = new();
    private readonly NamespacePolicies _policies;
    private readonly TimeProvider _time;
    private readonly string _process = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(6));
    private readonly string?[] _epochs = new string?[Buckets];
    private readonly string _firstEpoch;
    private long _epochCount;
    private long _bytes;
    private int _evicting;

    public MemoryMessageLog(NamespacePolicies policies, TimeProvider time)
    {
        _policies = policies;
        _time = time;
        _firstEpoch = _process + "-0";
    }

    /// <summary>How long a channel is kept without an append. Default: 10 minutes.</summary>
    public TimeSpan IdleAfter { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>About the most memory for all channels. Default: 256 MiB.</summary>
    public long MaxTotalBytes { get; init; } = 256L * 1024 * 1024;

    /// <summary>About how much memory all channels take.</summary>
    public long TotalBytes => Interlocked.Read(ref _bytes);

    /// <summary>The channels kept.</summary>
    public int ChannelCount => _channels.Count;

    /// <inheritdoc/>
    public ValueTask<AppendResult> AppendAsync(AppendRequest request, CancellationToken cancellationToken = default)
    {
        AppendCheck.Verify(request);
        cancellationToken.ThrowIfCancellationRequested();
        AppendResult? result;
        do
        {
            result = TryAppend(request);
        }
        while (result is null);
        if (TotalBytes > MaxTotalBytes) EvictLongestIdle();
        return ValueTask.FromResult(result.Value);
    }

    /// <inheritdoc/>
    public ValueTask<long[]> FindKeysAsync(
        ChannelId channel, IReadOnlyList<string> keys, CancellationToken cancellationToken = default)
    {
        var now = Now();
        var offsets = new long[keys.Count];
        if (_channels.TryGetValue(channel, out var found))
        {
            lock (found.Gate)
            {
                for (var i = 0; i < offsets.Length; i++) offsets[i] = found.FindKey(keys[i], now);
            }
        }

        return ValueTask.FromResult(offsets);
    }

    /// <inheritdoc/>
    public ValueTask<ChannelPage> ReadAsync(
        ChannelId channel, long after, int maxMessages, int maxBytes = 256 * 1024, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(after);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxMessages, 1);
        if (!_channels.TryGetValue(channel, out var found)) return ValueTask.FromResult(new ChannelPage(Unknown(channel), []));
        lock (found.Gate)
        {
            return ValueTask.FromResult(new ChannelPage(
                Head(channel, found), found.Read(Math.Max(after + 1, found.Oldest), maxMessages, maxBytes)));
        }
    }

    /// <inheritdoc/>
    public ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult(Head(channel));

    /// <inheritdoc/>
    public ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default)
    {
        var heads = new ChannelHead[channels.Count];
        for (var i = 0; i < heads.Length; i++) heads[i] = Head(channels[i]);
        return ValueTask.FromResult(heads);
    }

    /// <inheritdoc/>
    public ValueTask TrimAsync(ChannelId channel, long upTo, CancellationToken cancellationToken = default)
    {
        if (_channels.TryGetValue(channel, out var found)) Change(found, c => c.Trim(upTo));
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public ValueTask<ChannelHead> PurgeAsync(ChannelId channel, CancellationToken cancellationToken = default)
    {
        if (_channels.TryGetValue(channel, out var found)) Forget(channel, found);
        else NewEpoch(channel);
        return ValueTask.FromResult(Head(channel));
    }

    /// <summary>Forgets idle channels and expired messages and keys.</summary>
    public void Sweep()
    {
        var now = Now();
        foreach (var (id, channel) in _channels)
        {
            var idleAfter = _policies.For(id.Name).MaxAge is { } age && age < IdleAfter ? age : IdleAfter;
            if (channel.LastAppendAt + (long)idleAfter.TotalMilliseconds < now) Forget(id, channel);
            else Change(channel, c => c.Expire(now));
        }
    }

    /// <summary>Null when the channel was forgotten in between, and the append must start over.</summary>
    private AppendResult? TryAppend(AppendRequest request)
    {
        var id = request.Channel;
        if (!_channels.TryGetValue(id, out var channel))
        {
            // A caller that is wrong about an unknown channel does not make one.
            var unknown = Unknown(id).Position;
            if (request.ExpectedHead != unknown) return AppendResult.HeadMoved(unknown);
            channel = _channels.GetOrAdd(id, static (key, policies) => new MemoryChannel(policies.For(key.Name)), _policies);
        }

        lock (channel.Gate)
        {
            if (channel.Removed) return null;
            var head = Head(id, channel).Position;
            if (request.ExpectedHead != head) return AppendResult.HeadMoved(head);
            var now = Now();
            if (channel.FindSeen(request.Messages, now) is { } seen) return AppendResult.KeysSeen(head, seen);
            var before = channel.Bytes;
            channel.Epoch ??= head.Epoch;
            channel.Append(request.Messages, now, now + (long)request.KeyWindow.TotalMilliseconds);
            Interlocked.Add(ref _bytes, channel.Bytes - before);
            return AppendResult.Appended(new Position(channel.Epoch, channel.Head));
        }
    }

    private void Change(MemoryChannel channel, Action<MemoryChannel> change)
    {
        lock (channel.Gate)
        {
            if (channel.Removed) return;
            var before = channel.Bytes;
            change(channel);
            Interlocked.Add(ref _bytes, channel.Bytes - before);
        }
    }

    private void Forget(ChannelId id, MemoryChannel channel)
    {
        lock (channel.Gate)
        {
            if (channel.Removed) return;

            // The new epoch first: whoever finds the channel gone must not get the old one.
            NewEpoch(id);
            channel.Removed = true;
            Interlocked.Add(ref _bytes, -channel.Bytes);
            _channels.TryRemove(new KeyValuePair<ChannelId, MemoryChannel>(id, channel));
        }
    }

    /// <summary>Forgets channels until a tenth of the bound is free again. One caller at a time; the others go on meanwhile.</summary>
    private void EvictLongestIdle()
    {
        if (Interlocked.Exchange(ref _evicting, 1) == 1) return;
        try
        {
            foreach (var (id, channel) in _channels.OrderBy(pair => pair.Value.LastAppendAt))
            {
                if (TotalBytes <= MaxTotalBytes / 10 * 9) return;
                Forget(id, channel);
            }
        }
        finally
        {
            Volatile.Write(ref _evicting, 0);
        }
    }

    private ChannelHead Head(ChannelId id)
    {
        if (!_channels.TryGetValue(id, out var channel)) return Unknown(id);
        lock (channel.Gate) return channel.Removed ? Unknown(id) : Head(id, channel);
    }

    private ChannelHead Head(ChannelId id, MemoryChannel channel) => new(channel.Epoch ?? EpochOf(id), channel.Oldest, channel.Head);

    private ChannelHead Unknown(ChannelId id) => new(EpochOf(id), Oldest: 1, Head: 0);

    private string EpochOf(ChannelId id) => Volatile.Read(ref _epochs[Bucket(id)]) ?? _firstEpoch;

    private void NewEpoch(ChannelId id) => Volatile.Write(
        ref _epochs[Bucket(id)],
        string.Create(CultureInfo.InvariantCulture, $"{_process}-{Interlocked.Increment(ref _epochCount)}"));

    private static int Bucket(ChannelId id) => (int)((uint)id.GetHashCode() % Buckets);

    private long Now() => _time.GetUtcNow().ToUnixTimeMilliseconds();
}

using System.Collections.Concurrent;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Relay;

/// <summary>
/// Everything of a silo that listens: its channels with local subscribers, and the sockets of its sessions.
/// </summary>
internal sealed partial class RelayHub(
    IGrainFactory grains,
    IChannelReader reader,
    NamespacePolicies policies,
    ILocalSiloDetails silo,
    RelayMetrics metrics,
    WorkQueue queue,
    Patience patience,
    PublishesUnderWay publishes,
    ILogger<RelayHub> logger) : ISiloRelay
{
    /// <summary>How many channels are attached again at the same time.</summary>
    private const int ReattachedAtOnce = 32;

    private readonly ConcurrentDictionary<ChannelId, LocalChannel> _channels = new();
    private readonly ConcurrentDictionary<(string Tenant, string Session), ISessionSocket> _sockets = new();

    /// <summary>How many channels have local subscribers, or had until a moment ago.</summary>
    public int ChannelCount => _channels.Count;

    /// <summary>How many sockets of sessions there are.</summary>
    public int SocketCount => _sockets.Count;

    /// <summary>What deliveries count; gaps that are announced elsewhere are among them.</summary>
    public RelayMetrics Metrics => metrics;

    /// <summary>How many messages the channels have heard of and not yet handed on, over all of them.</summary>
    public long CountBehind()
    {
        var behind = 0L;
        foreach (var (_, local) in _channels) behind += local.Behind;
        return behind;
    }

    /// <summary>
    /// Adds a subscription that is not yet started.
    /// </summary>
    /// <param name="channel">The channel.</param>
    /// <param name="consumer">Who consumes.</param>
    /// <param name="resolve">Chooses the place to start, given how far the channel reaches; null refuses.</param>
    /// <returns>The subscription and the head it was resolved against; no subscription when <paramref name="resolve"/> refused.</returns>
    public async Task<(Subscription? Subscription, ChannelHead Head)> JoinAsync(
        ChannelId channel, IConsumer consumer, Func<ChannelHead, Position?> resolve)
    {
        while (true)
        {
            var local = _channels.GetOrAdd(channel, static (id, hub) => hub.Make(id), this);
            await local.EnsureAttachedAsync();

            // The log's word, not the silo's own position: that may be a moment behind what the client was already told.
            var head = await reader.GetHeadAsync(channel);
            if (resolve(head) is not { } cursor) return (null, head);
            if (await local.JoinAsync(consumer, cursor, head) is { } subscription) return (subscription, head);
            _channels.TryRemove(new(channel, local));
        }
    }

    /// <inheritdoc/>
    public Task<DeliverAck> DeliverAsync(DeliverBatch batch) =>
        _channels.TryGetValue(batch.Channel, out var local) ? local.PostAsync(batch) : Task.FromResult(default(DeliverAck));

    /// <inheritdoc/>
    public Task<DeliverAck> GetInterestAsync(ChannelId channel) =>
        Task.FromResult(_channels.TryGetValue(channel, out var local) ? local.Interest() : default);

    /// <inheritdoc/>
    public Task WaitForPublishesAsync() => publishes.WaitAsync();

    /// <inheritdoc/>
    public Task<long> CountSubscribersAsync(ChannelId channel) =>
        Task.FromResult(_channels.TryGetValue(channel, out var local) ? local.SubscriptionCount : 0L);

    /// <summary>Makes a socket known as its session's; the older of two sockets of one session ends, whichever comes first here.</summary>
    public void Register(ISessionSocket socket)
    {
        ISessionSocket? older = null;
        _sockets.AddOrUpdate(
            (socket.Tenant, socket.Session),
            socket,
            (_, known) =>
            {
                var newer = known.Generation < socket.Generation ? socket : known;
                older = newer == socket ? known : socket;
                return newer;
            });
        older?.Close(CloseCode.Superseded, "A newer connection took the session over.");
    }

    /// <summary>Forgets a socket, unless a newer one of its session has taken its place.</summary>
    public void Unregister(ISessionSocket socket) => _sockets.TryRemove(new((socket.Tenant, socket.Session), socket));

    /// <inheritdoc/>
    public Task<bool> FenceAsync(string tenant, string session, long generation, CloseCode code)
    {
        if (!_sockets.TryGetValue((tenant, session), out var socket) || socket.Generation >= generation) return Task.FromResult(false);
        socket.Close(code, code == CloseCode.Superseded ? "A newer connection took the session over." : "The session was closed.");
        return Task.FromResult(true);
    }

    /// <inheritdoc/>
    public Task<bool> HoldsAsync(string tenant, string session, long generation) =>
        Task.FromResult(_sockets.TryGetValue((tenant, session), out var socket) && (generation == 0 || socket.Generation == generation));

    /// <inheritdoc/>
    public Task<ConnectedSession[]> ListSessionsAsync(string tenant, string user, int limit) =>
        Task.FromResult(_sockets.Values
            .Where(s => s.Tenant == tenant && s.User == user).Take(limit).Select(s => s.Describe()).ToArray());

    /// <summary>
    /// Retires channels that nobody listens to any more, and compares the others with the log: a feed that was lost unnoticed (two
    /// activations of a channel for a moment) must not stay so.
    /// </summary>
    /// <param name="quietMs">Channels quiet for at least this long are compared.</param>
    /// <param name="idleMs">Channels without subscribers for at least this long are retired.</param>
    /// <param name="askGrains">
    /// Whether to compare ephemeral channels too. That takes a call for each, and feeds hardly get lost unless the cluster changes.
    /// </param>
    public async Task SweepAsync(long quietMs, long idleMs, bool askGrains)
    {
        var quiet = new List<LocalChannel>();
        foreach (var (id, local) in _channels)
        {
            if (local.TryRetire(idleMs)) _channels.TryRemove(new(id, local));
            else if (local.QuietMs >= quietMs && local.Have is not null) quiet.Add(local);
        }

        try
        {
            await CompareWithLogAsync(quiet, quietMs);
        }
        finally
        {
            // What is not in the log can only be asked of the grain; whether the log answers does not matter to it.
            if (askGrains) await ReattachAsync(quiet.Where(c => !IsDurable(c) && c.SubscriptionCount > 0));
        }
    }

    private async Task CompareWithLogAsync(List<LocalChannel> quiet, long quietMs)
    {
        foreach (var some in quiet.Where(IsDurable).Chunk(500))
        {
            var served = Array.ConvertAll(some, c => c.Have!.Value);
            var heads = await reader.GetHeadsAsync([.. some.Select(c => c.Id)]);
            var wrong = new List<LocalChannel>();
            for (var i = 0; i < some.Length; i++)
            {
                if (some[i].QuietMs < quietMs) continue;
                if (served[i].Epoch == heads[i].Epoch && served[i].Offset > heads[i].Head)
                    heads[i] = await reader.RenewAsync(some[i].Id, served[i]);
                if (some[i].Have is not { } have || (have.Epoch == heads[i].Epoch && have.Offset >= heads[i].Head)) continue;
                LogBehind(some[i].Id, have, heads[i].Epoch, heads[i].Head);
                metrics.Reattached();
                wrong.Add(some[i]);
            }

            await ReattachAsync(wrong);
        }
    }

    private bool IsDurable(LocalChannel local) => policies.For(local.Id.Name).Durability == Durability.Durable;

    /// <summary>Attaches again, some at a time; in an order of their own, not the dictionary's, so that a simulated run repeats exactly.</summary>
    private async Task ReattachAsync(IEnumerable<LocalChannel> channels)
    {
        foreach (var some in channels.OrderBy(c => c.Id.ToString(), StringComparer.Ordinal).Chunk(ReattachedAtOnce))
            await Task.WhenAll(some.Select(ReattachAsync));
    }

    private async Task ReattachAsync(LocalChannel local)
    {
        try
        {
            await local.ReattachAsync();
        }
        catch (Exception e) when (Outage.Is(e) || e is ChannelMovedException)
        {
            // One channel out of reach keeps none of the others waiting; the next round looks again.
            LogReattachFailed(local.Id, e);
        }
    }

    private LocalChannel Make(ChannelId id) => new(id, policies.For(id.Name), reader, AttachAsync, metrics, queue);

    private Task<ChannelHead> AttachAsync(ChannelId channel) => patience.CallAsync(
        () => grains.GetGrain<IChannelFeedGrain>(channel.ToString()).AttachSiloAsync(silo.SiloAddress), Patience.ForClient);

    [LoggerMessage(LogLevel.Warning, "Subscribers of {Channel} were served up to {Have}, but the log is at {Epoch}:{Head}: attaching again")]
    private partial void LogBehind(ChannelId channel, Position have, string epoch, long head);

    [LoggerMessage(LogLevel.Debug, "{Channel} could not be attached to again")]
    private partial void LogReattachFailed(ChannelId channel, Exception exception);
}

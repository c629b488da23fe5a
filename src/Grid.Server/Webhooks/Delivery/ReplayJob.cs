using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>Where a replay starts and ends in a channel.</summary>
/// <param name="Channel">The channel's name.</param>
/// <param name="After">The place before the first message.</param>
/// <param name="To">The last offset; usually the subscription's cursor when the replay was asked for.</param>
internal readonly record struct ReplayRange(string Channel, Position After, long To);

/// <summary>A replay: old messages sent again under their ids, at a rate of its own and behind everything new.</summary>
internal sealed class ReplayJob
{
    private readonly double _perSecond;

    /// <summary>Starts a replay.</summary>
    public ReplayJob(string id, IEnumerable<ReplayRange> ranges, double perSecond, long nowMs)
        : this(id, perSecond, nowMs)
    {
        foreach (var (channel, after, to) in ranges)
        {
            if (to > after.Offset) Channels.Add(new ChannelProgress(channel, after) { Head = to, Replay = (this, to) });
        }
    }

    /// <summary>Goes on with one.</summary>
    public ReplayJob(ReplayRecord record, long nowMs)
        : this(record.Id, record.PerSecond, nowMs)
    {
        (Delivered, Failed) = (record.Delivered, record.Failed);
        foreach (var channel in record.Channels)
        {
            var progress = new ChannelProgress(channel.Channel, channel.Floor) { Head = channel.To, Replay = (this, channel.To) };
            progress.Restore(channel.Ranges, behind: false);
            Channels.Add(progress);
        }
    }

    private ReplayJob(string id, double perSecond, long nowMs)
    {
        (Id, _perSecond) = (id, perSecond);
        Bucket = new TokenBucket(perSecond, nowMs, Math.Min(perSecond, 10));
    }

    /// <summary>Its name.</summary>
    public string Id { get; }

    /// <summary>Its rate.</summary>
    public TokenBucket Bucket { get; }

    /// <summary>The channels that are not done.</summary>
    public List<ChannelProgress> Channels { get; } = [];

    /// <summary>What was read and waits to be sent.</summary>
    public Queue<DeliveryEntry> Ready { get; } = new();

    /// <summary>Requests on their way.</summary>
    public int InFlight { get; set; }

    /// <summary>Failed messages that it waits for, in the modes with an order.</summary>
    public int Blocks { get; set; }

    /// <summary>The read under way; 0 for none.</summary>
    public long Read { get; set; }

    /// <summary>Messages delivered.</summary>
    public long Delivered { get; set; }

    /// <summary>Messages that failed at first.</summary>
    public long Failed { get; set; }

    /// <summary>Whether something can be read or sent.</summary>
    public bool HasWork => Blocks == 0 && (Ready.Count > 0 || NextToRead is not null);

    /// <summary>The channel to read from next; null: all was read, or a read is under way.</summary>
    public ChannelProgress? NextToRead => Read != 0 ? null : Channels.FirstOrDefault(c => c.HasUnread);

    /// <summary>How far it is.</summary>
    public ReplayProgress Progress => new(Delivered, Failed, Channels.Sum(c => c.Backlog));

    /// <summary>What to store.</summary>
    public ReplayRecord Record => new(Id, _perSecond, Delivered, Failed,
        [.. Channels.Select(c => new ReplayChannelRecord(c.Name, new Position(c.Epoch, c.Floor), c.Replay!.Value.To, [.. c.Ranges.AsList]))]);
}

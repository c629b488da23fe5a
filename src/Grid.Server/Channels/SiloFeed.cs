using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Channels;

/// <summary>
/// What one silo still lacks of a channel. At most one batch is on its way at a time; what comes meanwhile accumulates, and the log is
/// the only queue. No I/O: the grain sends, a simulation as well.
/// </summary>
internal sealed class SiloFeed
{
    private Position _have;
    private bool _renewed;

    /// <summary>A feed from a known place on.</summary>
    public SiloFeed(Position have) => _have = have;

    /// <summary>How far the silo said to be; of no epoch before it was asked.</summary>
    public Position Have => _have;

    /// <summary>Whether a batch awaits its answer, or its next try.</summary>
    public bool InFlight { get; private set; }

    /// <summary>How often in a row the silo did not answer, or answered that it took nothing of what it lacks.</summary>
    public int Failures { get; private set; }

    /// <summary>Whether the silo lacks something of <paramref name="head"/>.</summary>
    public bool IsBehind(ChannelHead head) => _have.Epoch != head.Epoch || _have.Offset < head.Head;

    /// <summary>
    /// The next batch, or null when one is in flight or nothing is lacking. It holds what the window of recent messages still has, if
    /// that starts early enough; else it only names the head, and the silo reads the log.
    /// </summary>
    public DeliverBatch? Next(ChannelId channel, ChannelHead head, RecentMessages recent)
    {
        if (InFlight || !IsBehind(head)) return null;
        InFlight = true;
        var messages = _have.Epoch == head.Epoch ? recent.After(_have.Offset) : [];
        return new DeliverBatch { Channel = channel, Head = head, Messages = messages };
    }

    /// <summary>The silo attached again: an answer to what was sent before must not end the feed.</summary>
    public void Renew() => _renewed = InFlight;

    /// <summary>The silo answered. False: it has no subscribers, and the feed can go.</summary>
    public bool OnAck(DeliverAck ack)
    {
        var sent = InFlight;
        InFlight = false;
        var renewed = _renewed;
        _renewed = false;
        if (!ack.Interested) return renewed;

        // A silo that stays where it was knows better than this activation, which another has overtaken: not asked again at once.
        InFlight = sent && ack.Have == _have;
        Failures = InFlight ? Failures + 1 : 0;

        // The silo's own word, even if it goes back: it may have restarted its channel since the last answer.
        _have = ack.Have;
        return true;
    }

    /// <summary>
    /// The silo did not answer, or refused; the batch may or may not have been served. Sent again later: it goes by offsets. Until
    /// <see cref="Retry"/> nothing else is sent, however much is published meanwhile.
    /// </summary>
    public void OnFailed() => Failures++;

    /// <summary>After a failure, and a pause: the next batch may go.</summary>
    public void Retry() => InFlight = false;
}

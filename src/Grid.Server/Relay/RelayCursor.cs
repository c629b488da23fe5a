using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Relay;

/// <summary>What a relay does next with a batch that arrived.</summary>
internal enum RelayAction
{
    /// <summary>Nothing is lacking: answer.</summary>
    Done,

    /// <summary>Deliver the batch's messages from <see cref="RelayStep.Skip"/> on.</summary>
    Deliver,

    /// <summary>Messages are missing: read the log after the cursor, and deliver what it gives first.</summary>
    Repair,

    /// <summary>The batch is of another epoch than the cursor: ask the log which is true.</summary>
    CheckEpoch,
}

/// <summary>What a relay does next.</summary>
/// <param name="Action">The kind of step.</param>
/// <param name="Skip">How many of the batch's messages were delivered before.</param>
internal readonly record struct RelayStep(RelayAction Action, int Skip = 0);

/// <summary>
/// A relay's place in a channel: the one position that decides what is new, what is a repeat and what is missing. Calls may be lost,
/// repeated and reordered; only offsets count. No I/O.
/// </summary>
internal sealed class RelayCursor(ChannelHead head)
{
    /// <summary>The last message handed to local subscribers.</summary>
    public Position Have { get; private set; } = head.Position;

    /// <summary>Judges a batch, given how far <see cref="Have"/> is now; called again after each step until it is done.</summary>
    public RelayStep Judge(DeliverBatch batch)
    {
        if (batch.Head.Epoch != Have.Epoch) return new(RelayAction.CheckEpoch);
        if (batch.Messages.Length > 0)
        {
            var (first, last) = (batch.Messages[0].Offset, batch.Messages[^1].Offset);
            if (first <= Have.Offset + 1 && last > Have.Offset) return new(RelayAction.Deliver, (int)(Have.Offset + 1 - first));
        }

        return batch.Head.Head > Have.Offset ? new(RelayAction.Repair) : new(RelayAction.Done);
    }

    /// <summary>
    /// Judges what the log gave for a repair: the gap to announce before its messages, if retention took some.
    /// </summary>
    public GapFrame? GapBefore(string channel, ChannelPage page) =>
        page.Head.Oldest > Have.Offset + 1
            ? new GapFrame(channel, Have.Epoch, Have.Offset + 1, page.Head.Oldest - 1, GapReason.Retention)
            : null;

    /// <summary>Moves to the last message delivered, or announced missing.</summary>
    public void MoveTo(long offset) => Have = Have with { Offset = Math.Max(offset, Have.Offset) };

    /// <summary>Enters another epoch at the place before its oldest message; what is returned tells subscribers so.</summary>
    public GapFrame Enter(string channel, ChannelHead head)
    {
        Have = new Position(head.Epoch, head.Oldest - 1);
        return EpochGap(channel, head);
    }

    /// <summary>The gap that announces a new epoch.</summary>
    public static GapFrame EpochGap(string channel, ChannelHead head) => new(channel, head.Epoch, 1, head.Oldest - 1, GapReason.Epoch);
}

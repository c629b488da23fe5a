using System.Globalization;
using System.Text;

namespace Grid.Testing.History;

/// <summary>The promises that can be broken, one by one.</summary>
public enum ViolationKind
{
    /// <summary>A channel that was written or read was not read back from the store: the test cannot judge it.</summary>
    NotRead,

    /// <summary>A publish has neither an acknowledgement nor a refusal nor an unknown outcome.</summary>
    Unanswered,

    /// <summary>An acknowledged message is not in the store.</summary>
    AcknowledgedLost,

    /// <summary>Another message is stored at the acknowledged offset.</summary>
    AcknowledgedDiffers,

    /// <summary>An acknowledgement names an epoch that the channel no longer has.</summary>
    AcknowledgedEpochGone,

    /// <summary>The same key was acknowledged with two offsets.</summary>
    TwoOffsets,

    /// <summary>An answer said duplicate although the message was sent only once.</summary>
    FalseDuplicate,

    /// <summary>The same message was accepted as new more than once.</summary>
    MissedDuplicate,

    /// <summary>A refused message is in the store.</summary>
    RefusedStored,

    /// <summary>A stored message was never published in this form.</summary>
    Invented,

    /// <summary>The stored offsets do not rise by exactly 1 from the oldest to the head.</summary>
    StoreHole,

    /// <summary>A message is stored at more than one offset.</summary>
    StoredTwice,

    /// <summary>A publisher's messages are stored in another order than it sent them.</summary>
    OrderBroken,

    /// <summary>A consumer was given a message without the ones before it, and without a gap.</summary>
    Skipped,

    /// <summary>A consumer was given a message again.</summary>
    Repeated,

    /// <summary>A consumer was given something else than what is stored at that offset.</summary>
    ContentDiffers,

    /// <summary>A consumer was given a message after the stored head: it was delivered, then lost.</summary>
    BeyondHead,

    /// <summary>A gap without a right: the store still has the messages, or nothing may be dropped, or the epoch is the same.</summary>
    UnjustifiedGap,

    /// <summary>A gap that does not begin right after the consumer's cursor, or is no gap.</summary>
    GapMisplaced,

    /// <summary>The epoch changed without a gap that says so.</summary>
    SilentEpochChange,

    /// <summary>A subscription began elsewhere than was asked, without a gap.</summary>
    WrongCursor,

    /// <summary>A resume with the server's cursor begins after the last message that the consumer had.</summary>
    ResumeSkipped,

    /// <summary>A resume with the server's cursor begins before a checkpoint known to be written.</summary>
    ResumeTooEarly,

    /// <summary>A session or subscription was gone that should have been there.</summary>
    SessionLost,

    /// <summary>A consumer ended before the head.</summary>
    NotWhole,
}

/// <summary>One broken promise.</summary>
/// <param name="Kind">Which.</param>
/// <param name="Channel">Where.</param>
/// <param name="Who">To whom: a publisher, a consumer, or the store.</param>
/// <param name="What">What was seen.</param>
/// <param name="Context">What was around it, one line each.</param>
public sealed record Violation(ViolationKind Kind, string Channel, string Who, string What, IReadOnlyList<string> Context);

/// <summary>The judgement of a history.</summary>
public sealed class HistoryReport
{
    private const int ShownPerKind = 10;

    internal HistoryReport(IReadOnlyList<Violation> violations, string summary)
    {
        Violations = violations;
        Summary = summary;
    }

    /// <summary>Every violation.</summary>
    public IReadOnlyList<Violation> Violations { get; }

    /// <summary>Whether every promise was kept.</summary>
    public bool IsClean => Violations.Count == 0;

    /// <summary>What was checked, in numbers.</summary>
    public string Summary { get; }

    /// <summary>Throws with the whole report unless every promise was kept.</summary>
    /// <param name="seed">What to say for reproducing the run.</param>
    public void ThrowIfBroken(string seed = "")
    {
        if (!IsClean) throw new TestFailedException(seed.Length > 0 ? $"{seed}\n{this}" : ToString());
    }

    /// <inheritdoc/>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.AppendLine(CultureInfo.InvariantCulture, $"{Violations.Count} violations. {Summary}");
        foreach (var kind in Violations.GroupBy(v => v.Kind).OrderBy(g => g.Key))
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"{kind.Key}: {kind.Count()}");
            foreach (var violation in kind.Take(ShownPerKind))
            {
                text.AppendLine(CultureInfo.InvariantCulture, $"  {violation.Channel}, {violation.Who}: {violation.What}");
                foreach (var line in violation.Context) text.Append("      ").AppendLine(line);
            }

            if (kind.Count() > ShownPerKind) text.AppendLine(CultureInfo.InvariantCulture, $"  … and {kind.Count() - ShownPerKind} more");
        }

        return text.ToString();
    }
}

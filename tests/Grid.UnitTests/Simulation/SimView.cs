using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;

namespace Grid.UnitTests.Simulation;

/// <summary>What a client waits to hear about a channel.</summary>
internal enum PendingRequest
{
    None,
    Subscribe,
    Unsubscribe,
}

/// <summary>
/// One channel as one client sees it, and the judge of everything that it is told of it: each message follows the one before, or a gap
/// said why not.
/// </summary>
internal sealed class SimView(SimClient client, SimWorld world, string channel)
{
    private readonly NamespacePolicy _policy = world.Policies.For(channel);
    private GapFrame? _expected;
    private bool _resumed;
    private bool _refused;

    public string Channel => channel;

    public bool IsDurable => _policy.Durability == Durability.Durable;

    /// <summary>Whether a key makes a publish idempotent here.</summary>
    public bool IsIdempotent => _policy.KeyWindow > TimeSpan.Zero;

    /// <summary>Whether the client wants to be subscribed.</summary>
    public bool Wanted { get; set; }

    /// <summary>Whether the server said that the session is subscribed.</summary>
    public bool Confirmed { get; set; }

    /// <summary>Whether a request was under way when the connection ended: then the session may or may not know.</summary>
    public bool Ambiguous { get; set; }

    /// <summary>Whether the present connection delivers.</summary>
    public bool Active { get; private set; }

    public PendingRequest Pending { get; set; }

    public long PendingId { get; set; }

    public StartPoint From { get; set; }

    /// <summary>The last message that the client has finished with.</summary>
    public Position? Cursor { get; private set; }

    /// <summary>How far the client came before it was resumed further back.</summary>
    public Position? Reached { get; private set; }

    public ChannelRecord Record => (IsDurable ? world.Store : world.Ephemeral).Of(new ChannelId(SimWorld.Tenant, channel));

    public void ConnectionEnded()
    {
        if (Pending != PendingRequest.None) Ambiguous = true;
        (Active, Pending, _expected, _refused) = (false, PendingRequest.None, null, false);
    }

    public void SessionGone() => (Confirmed, Ambiguous, Active) = (false, false, false);

    /// <summary>The session goes on, and this is where the server says it does so.</summary>
    public void Resumed(SubscriptionState state, CursorSource source)
    {
        var told = new Position(state.Epoch, state.Cursor);
        _resumed = true;
        if (!Ambiguous && Confirmed && Cursor is { } mine)
        {
            if (mine.Epoch != told.Epoch)
            {
                // Two activations of an ephemeral channel have an epoch each. The server's cursor may be from before the client heard
                // of the second: to go on from there only repeats, and the server knows of no gap.
                var back = source == CursorSource.Server && !IsDurable;
                _expected = back ? null : new GapFrame(channel, told.Epoch, 1, told.Offset, GapReason.Epoch);
            }
            else if (source == CursorSource.Client && told.Offset < mine.Offset)
                Fail($"was resumed at {told}, but has finished with {mine}");
            else if (told.Offset > mine.Offset)
                _expected = new GapFrame(channel, told.Epoch, mine.Offset + 1, told.Offset, GapReason.Retention);
        }

        if (Cursor is { } reached && (Reached is not { } before || before.Epoch != reached.Epoch || before.Offset < reached.Offset))
            Reached = Cursor;
        (Cursor, Confirmed, Ambiguous, Active) = (told, true, false, true);
    }

    /// <summary>The session goes on, but without this channel.</summary>
    public void NotResumed()
    {
        if (Confirmed && !Ambiguous) Fail("was subscribed, and the resumed session no longer is");
        (Confirmed, Ambiguous) = (false, false);
    }

    public void Subscribed(SubscribedFrame frame)
    {
        var told = new Position(frame.Epoch, frame.Cursor);
        var kept = Active && From.Kind == StartKind.Now;
        if (kept)
        {
            // Already subscribed: the answer tells where it stands, and nothing moves. Messages before it may still be on their way.
            if (Cursor is { } mine && mine.Epoch == told.Epoch && told.Offset > mine.Offset) Fail($"was told {told}, but is at {mine}");
            return;
        }

        // A refused move may have left the subscription as it was.
        if (From.Kind == StartKind.Now && !_refused && frame.Cursor != frame.Head) Fail($"subscribed from now, but at {frame.Cursor} of {frame.Head}");
        if (From.Kind == StartKind.Last && frame.Cursor < frame.Head - From.Count) Fail($"was to start {From.Count} before {frame.Head}, not at {told}");
        if (From.Kind == StartKind.Position)
        {
            var asked = From.Position;
            if (asked.Epoch != told.Epoch) _expected = new GapFrame(channel, told.Epoch, 1, told.Offset, GapReason.Epoch);
            else if (told.Offset < asked.Offset) Fail($"asked for {asked} and got {told}");
            else if (told.Offset > asked.Offset)
                _expected = new GapFrame(channel, told.Epoch, asked.Offset + 1, told.Offset, GapReason.Retention);
        }

        if (told.Offset > Record.Of(told.Epoch).Messages.Count) Fail($"starts at {told}, beyond what is stored");
        (Cursor, Confirmed, Ambiguous, Active, Reached, _refused) = (told, true, false, true, null, false);
    }

    public void Unsubscribed() => (Confirmed, Ambiguous, Active, Cursor) = (false, false, false, null);

    /// <summary>The server could not store what was asked: whether the session has it is open.</summary>
    public void Refused() => (Active, Ambiguous, Confirmed, _refused) = (false, true, false, true);

    public void Message(Message message)
    {
        if (!Active)
        {
            // A move that was refused leaves nothing active; what was on its way before the refusal is no harm.
            if (!Ambiguous) Fail($"got {message.Offset} without being subscribed");
            return;
        }

        _resumed = false;
        if (_expected is not null) Fail($"got {message.Offset} before the gap {_expected}");
        if (message.Offset != Cursor!.Value.Offset + 1) Fail($"got {message.Offset} after {Cursor}");
        var stored = Record.Of(Cursor.Value.Epoch).At(message.Offset);
        if (stored is null) Fail($"got {message.Offset}, which is not stored");
        else if (!stored.Payload.Bytes.Span.SequenceEqual(message.Payload.Bytes.Span)) Fail($"got something else as {message.Offset}");
        Cursor = Cursor.Value with { Offset = message.Offset };
    }

    public void Gap(GapFrame gap)
    {
        if (!Active) return;
        var at = Cursor!.Value;
        var epoch = Record.Of(gap.Epoch);
        if (_expected is not null)
        {
            // With the server's cursors the gap begins where the server believed the client to be: not later than it is.
            var fits = gap.Reason == _expected.Reason || (_resumed && gap.Reason == GapReason.Epoch);
            if (!fits || gap.Epoch != _expected.Epoch || gap.To != _expected.To || gap.From > _expected.From)
                Fail($"expected {_expected} and got {gap}");
        }
        else if (_resumed && gap.Reason != GapReason.Dropped && gap.Epoch == at.Epoch && gap.To == at.Offset)
        {
            // The server went by its own cursor, which was further back: it announces what the client has long since.
        }
        else if (gap.Reason == GapReason.Epoch)
        {
            if (gap.Epoch == at.Epoch) Fail($"is told of epoch {gap.Epoch}, which it is in");
            if (gap.From != 1) Fail($"an epoch's gap starts at {gap.From}");
        }
        else
        {
            if (gap.Epoch != at.Epoch || gap.From != at.Offset + 1 || gap.To < gap.From) Fail($"is at {at} and got {gap}");
        }

        switch (gap.Reason)
        {
            case GapReason.Dropped when _policy.SlowConsumer == SlowConsumerPolicy.Conflate:
                for (var offset = gap.From; offset <= gap.To; offset++)
                {
                    var skipped = epoch.At(offset);
                    if (skipped?.Key is not { } key || !epoch.Messages.Skip((int)gap.To).Any(m => m.Key == key))
                        Fail($"{gap} skips {offset}, of which nothing newer came");
                }

                break;
            case GapReason.Dropped when _policy.SlowConsumer == SlowConsumerPolicy.Drop:
                break;
            case GapReason.Dropped:
                Fail($"{gap}, but nothing may be dropped here");
                break;
            default:
                if (gap.To > epoch.Trimmed) Fail($"{gap}, but only {epoch.Trimmed} is gone");
                break;
        }

        (_expected, _resumed) = (null, false);
        Cursor = new Position(gap.Epoch, gap.To);
    }

    private void Fail(string what) => world.Scheduler.Fail($"{client.Name} on {channel} {what}");
}

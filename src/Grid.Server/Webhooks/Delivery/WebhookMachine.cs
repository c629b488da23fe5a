using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>
/// Decides for one webhook subscription what is read, what is sent next and when, and what is stored. No I/O and no clock: its grain
/// does both, a simulation as well. Times are Unix milliseconds.
/// </summary>
/// <remarks>
/// <para>The grain's round, after anything happened: (1) <see cref="NextReads"/>, each answered by <see cref="OnRead"/> or
/// <see cref="OnReadFailed"/>; (2) <see cref="NextDelivery"/> until it is null, each ended by <see cref="OnOutcome"/>, before which the
/// attempt is in the attempt log; (3) <see cref="NextParkedLoad"/>; (4) <see cref="BeginWrite"/>, if it gives something: carry out the
/// effects, then store the snapshot, then <see cref="EndWrite"/>; (5) one timer for <see cref="NextDue"/>.</para>
/// <para>When it starts: the machine is made with what was stored, <see cref="Add"/> is called for every channel that a mark names (those that
/// are known are left as they are, and looked at by <see cref="Look"/>), and <see cref="NoticeParked"/> with the due time of the first row of
/// parked messages, if there are any: rows and snapshot may lie in two stores, and the snapshot may be older, or lost. A channel without a
/// mark is settled but for what its own record says, so that a subscription to very many channels does not read them all to start.</para>
/// <para>A message is <i>settled</i> (never sent again), <i>open</i> (read, on its way, or waiting for its next attempt), or neither: then
/// it is read when its turn comes. All that a restart, an open circuit, a pause or a full memory lets go of is neither, so nothing is
/// lost by letting go. What was acknowledged, but not written before a crash, is sent again under the same id, and nothing else.</para>
/// <para>Messages are never copied: a failed one is its offset, attempts and due time, and is read again for its next attempt. What
/// bounds all this is in <see cref="DeliveryLimits"/>; the number of channels is bounded by nothing here.</para>
/// </remarks>
internal sealed partial class WebhookMachine
{
    /// <summary>The longest time for which an endpoint can ask to be left alone.</summary>
    public const long MaxHoldMs = 24 * 3_600_000;

    /// <summary>How long a hold may be for what was read ahead to be kept in memory.</summary>
    private const long ShortHoldMs = 10_000;

    private const int FailuresToTell = 3;
    private readonly Dictionary<string, ChannelProgress> _channels = new(StringComparer.Ordinal);
    private readonly Dictionary<long, DeliveryEntry> _flights = [];
    private readonly Random _chance;
    private readonly AdaptiveWindow _window;
    private readonly Circuit _circuit;
    private readonly WriteBehind _writes;
    private TokenBucket? _bucket;
    private DeliverySettings _settings;
    private long _lastNumber;
    private long _heldUntil;
    private long _heldSince;
    private long _faultMs;
    private bool _failingTold;

    /// <summary>Starts with what was stored, or new.</summary>
    /// <param name="settings">How it delivers.</param>
    /// <param name="snapshot">What was stored; null for a new subscription, or one whose state was lost.</param>
    /// <param name="chance">Randomness, for the spreading of delays.</param>
    /// <param name="nowMs">The time.</param>
    /// <param name="looks">Whether every channel is looked at once: where marks do not tell which have to be.</param>
    public WebhookMachine(DeliverySettings settings, WebhookSnapshot? snapshot, Random chance, long nowMs, bool looks = true)
    {
        (_settings, _chance) = (settings, chance);
        _window = new AdaptiveWindow(settings.Limits.InitialWindow, settings.Limits.MaxWindow);
        _circuit = new Circuit(settings.Circuit);
        _writes = new WriteBehind(settings.Limits);
        _bucket = settings.PerSecond is { } rate ? new TokenBucket(rate, nowMs) : null;
        Generation = (snapshot?.Generation ?? 0) + 1;
        if (snapshot is not null) Restore(snapshot, nowMs, looks);
    }

    /// <summary>Counts the activations; a store refuses the write of a lower one.</summary>
    public long Generation { get; }

    /// <summary>Whether it delivers.</summary>
    public WebhookStatus Status { get; private set; }

    /// <summary>Why it is disabled.</summary>
    public DisabledReason Reason { get; private set; }

    /// <summary>Whether the endpoint is taken for dead.</summary>
    public bool IsOpen => _circuit.IsOpen;

    /// <summary>When a dead endpoint is probed next, in Unix milliseconds; means something only while <see cref="IsOpen"/>.</summary>
    public long ProbeAt => _circuit.ProbeAt;

    /// <summary>Until when the endpoint asked to be left alone, in Unix milliseconds; 0: it did not.</summary>
    public long AskedUntil => _heldUntil;

    /// <summary>Requests on their way.</summary>
    public int InFlight => _flights.Count;

    /// <summary>How many requests may be on their way.</summary>
    public int Window => _settings.Mode == WebhookMode.Ordered ? 1 : _window.Size;

    /// <summary>How long an answer usually takes, in milliseconds: tells slow endpoints.</summary>
    public int UsualMs => _window.UsualMs;

    /// <summary>Failed messages in the state that wait for their next attempt.</summary>
    public int Parked => _parked.Count;

    /// <summary>
    /// Whether new messages wait for older ones to be settled, because the state is as large as it may be. Only keyed and ordered
    /// subscriptions get there, for they cannot park a message without its successors.
    /// </summary>
    public bool IsStalled => RangesAreFull || ParkedAreFull;

    /// <summary>The names of the channels that are known.</summary>
    public IReadOnlyCollection<string> Channels => _channels.Keys;

    /// <summary>The subscription's cursor in each channel: everything up to there is settled.</summary>
    public IEnumerable<KeyValuePair<string, Position>> Cursors =>
        _channels.Values.Select(c => KeyValuePair.Create(c.Name, new Position(c.Epoch, c.Floor)));

    /// <summary>How many messages are not settled, as far as heads are known. Counts those that the filter will not want.</summary>
    public long Lag => _channels.Values.Sum(c => c.Backlog);

    /// <summary>The message that an ordered subscription, or a lane of a keyed one, waits for; those due first come first.</summary>
    public IEnumerable<(MessageRef Ref, int Attempts, long Due)> Blocking =>
        _channels.Values.SelectMany(c => c.Open).Where(e => e.Blocks).OrderBy(e => e.Due).Select(e => (e.Ref, e.Attempts, e.Due));

    private bool Ordered => _settings.Mode == WebhookMode.Ordered;

    private bool Parallel => _settings.Mode == WebhookMode.Parallel;

    private bool LanesAreKeys => _settings is { Mode: WebhookMode.Keyed, KeySeparator: not null };

    private DeliveryLimits Limits => _settings.Limits;

    /// <summary>Until when nothing is sent: the endpoint, or the way to it, is held.</summary>
    private long HeldUntil => Math.Max(_heldUntil, _faultUntil);

    /// <summary>Whether the store is so far behind that nothing more is sent.</summary>
    private bool StoreIsBehind => _writes.Unwritten >= Limits.MaxUnwritten;

    /// <summary>Adds a channel, if it is not known.</summary>
    /// <param name="channel">Its name.</param>
    /// <param name="from">
    /// The place before the first message to deliver: the mark that the first append after the subscription's creation left, or offset 0
    /// for a channel that did not exist then.
    /// </param>
    /// <param name="nowMs">The time.</param>
    public void Add(string channel, Position from, long nowMs)
    {
        if (_channels.ContainsKey(channel)) return;
        var progress = _channels[channel] = new ChannelProgress(channel, from, _changed) { Look = true };
        progress.MarkChanged();
        _writes.Changed(nowMs);
        Line(progress);
    }

    /// <summary>
    /// When to look again if nothing happens; null: never. To be asked after a whole round: what could be done by now is taken to wait for
    /// the end of something that is under way.
    /// </summary>
    public long? NextDue(long nowMs)
    {
        var due = _writes.Due;
        if (Status == WebhookStatus.Active)
        {
            foreach (var time in Times(nowMs))
            {
                if (time > nowMs) due = Math.Min(due, time);
            }
        }

        return due == long.MaxValue ? null : Math.Max(due, nowMs);
    }

    /// <summary>
    /// When a subscription without anything under way has something to do, for an index of those that are due: its grain need not
    /// live until then. Null: never, unless something happens.
    /// </summary>
    public long? NextWake(long nowMs)
    {
        if (Status != WebhookStatus.Active) return null;
        var due = Times(nowMs).Min();

        // What is under way has to be taken up by the next activation, should this one not see its end: it may have no mark any more.
        // What is being read stands in no line, and may have no mark: a cursor that was moved back, or a replay.
        var underWay = _reads.Count > 0 || _queued > 0 || _flights.Count > 0 || _retriesOut > 0 || _loading || _loaded.Values.Any(static e => e.State != EntryState.Closed);
        if (underWay || (_line.Count > 0 && FreshIsFree && !IsStalled)) due = Math.Min(due, _circuit.IsOpen ? _circuit.ProbeAt : nowMs);
        return due == long.MaxValue ? null : Math.Max(due, Math.Max(nowMs, HeldUntil));
    }

    /// <summary>
    /// Until when nothing can be sent whatever is published, since new messages wait for one that failed and is due only then; 0: something may.
    /// </summary>
    public long BlockedUntil(long nowMs)
    {
        if (Status != WebhookStatus.Active || _circuit.IsOpen || _heldSince != 0 || HeldUntil > nowMs || (FreshIsFree && !IsStalled)) return 0;
        if (_flights.Count > 0 || _queued > 0 || _retriesOut > 0 || _loading || _replay is not null) return 0;
        var due = Math.Min(_parked.First?.Due ?? long.MaxValue, _storedDue > 0 ? _storedDue : long.MaxValue);
        return due < long.MaxValue && due > nowMs ? due : 0;
    }

    /// <summary>The times at which something may become possible that is not now.</summary>
    private IEnumerable<long> Times(long nowMs)
    {
        yield return HasWork && HeldUntil > 0 ? HeldUntil : long.MaxValue;
        yield return _readsAfter > 0 && HasWork ? _readsAfter : long.MaxValue;
        yield return _storedDue > 0 ? Math.Max(_storedDue, Math.Max(_loadAfter, _circuit.IsOpen ? _circuit.ProbeAt : 0)) : long.MaxValue;
        if (_circuit.IsOpen)
        {
            yield return HasWork ? _circuit.ProbeAt : long.MaxValue;
            yield break;
        }

        yield return _parked.First?.Due ?? long.MaxValue;
        if (_bucket is not null && HasWork) yield return _bucket.NextAt(nowMs);
        if (_replay is { HasWork: true } replay) yield return replay.Bucket.NextAt(nowMs);
    }

    private bool HasWork => _parked.Count > 0 || _line.Count > 0 || _queued > 0 || _readyRetries.Count > 0 || _replay is { HasWork: true };

    private double Chance() => _chance.NextDouble();
}

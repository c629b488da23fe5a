using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Log;

/// <summary>
/// The ordered log of every channel: what Grid promises rests on it.
/// </summary>
/// <remarks>
/// <para><b>Append.</b> An append concerns one channel and is atomic: all of its messages are stored, or none. The caller states the
/// position it believes to be the head and has numbered its messages from there; if the head is elsewhere, nothing is stored and the
/// answer tells where it is. That is the only fence between two activations of a channel's grain: the log decides.</para>
/// <para><b>Keys.</b> A message may carry an idempotency key. If any key of an append was stored on the channel within its window,
/// nothing is stored and the answer names each such message with the offset of the first. A key and its message are stored in the
/// same atomic step. Within one append no key appears twice (the caller sees to that).</para>
/// <para><b>Durability.</b> A durable log completes an append only after its bytes have been synced to the device, and after a crash
/// at any moment every completed append is there, whole, and no torn one is. Many channels' appends share one sync (group commit):
/// while a sync is under way, later appends gather into the next.</para>
/// <para><b>Reading.</b> A read sees every completed append, and never part of one. It returns messages by rising offset
/// without holes, from the first one after <c>after</c> that is kept. What retention has taken shows in <see cref="ChannelHead.Oldest"/>.</para>
/// <para><b>Epochs.</b> A channel that was never written has the log's own epoch and head 0, and asking for it stores nothing.
/// <see cref="PurgeAsync"/> gives a channel a new epoch, and <see cref="RenewAsync"/> does if its last messages are gone.</para>
/// <para><b>Failure.</b> When the store cannot be reached or is full, calls throw <see cref="LogUnavailableException"/>: an append
/// that threw is an unknown outcome (stored or not), which the caller resolves by its keys and the expected head. A log heals by
/// itself when the cause is gone.</para>
/// <para>All members may be called at once from any thread.</para>
/// </remarks>
public interface IMessageLog
{
    /// <summary>Stores messages of one channel at a stated place.</summary>
    /// <exception cref="LogUnavailableException">The store is away; the outcome is unknown.</exception>
    ValueTask<AppendResult> AppendAsync(AppendRequest request, CancellationToken cancellationToken = default);

    /// <summary>Tells which keys were stored on a channel within their window: for each its message's offset, or 0.</summary>
    ValueTask<long[]> FindKeysAsync(ChannelId channel, IReadOnlyList<string> keys, CancellationToken cancellationToken = default);

    /// <summary>Reads messages after an offset, oldest first.</summary>
    /// <param name="channel">The channel.</param>
    /// <param name="after">The offset before the first one wanted.</param>
    /// <param name="maxMessages">The most messages to return; at least 1.</param>
    /// <param name="maxBytes">Stop after the message with which the payloads reach this many bytes; at least one is returned.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    ValueTask<ChannelPage> ReadAsync(
        ChannelId channel, long after, int maxMessages, int maxBytes = 256 * 1024, CancellationToken cancellationToken = default);

    /// <summary>Tells how far a channel reaches.</summary>
    ValueTask<ChannelHead> GetHeadAsync(ChannelId channel, CancellationToken cancellationToken = default);

    /// <summary>
    /// Tells how far a channel reaches, and when its last message was sent. Between the two answers there may be an append: the time is
    /// then the earlier one.
    /// </summary>
    async ValueTask<ChannelEnd> GetEndAsync(ChannelId channel, CancellationToken cancellationToken = default)
    {
        var head = await GetHeadAsync(channel, cancellationToken);
        if (head.Head < head.Oldest) return new ChannelEnd(head, 0);
        var last = await ReadAsync(channel, head.Head - 1, 1, cancellationToken: cancellationToken);
        return new ChannelEnd(head, last.Messages is [var message, ..] ? message.At : 0);
    }

    /// <summary>Tells how far many channels reach, in the order asked, in one round trip.</summary>
    ValueTask<ChannelHead[]> GetHeadsAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken = default);

    /// <summary>Forgets the messages up to and with an offset, which readers behind it will see as a higher oldest. Never blocks appends.</summary>
    ValueTask TrimAsync(ChannelId channel, long upTo, CancellationToken cancellationToken = default);

    /// <summary>
    /// Says how far a channel was seen to reach. If it is still in that epoch and reaches less far, the store has lost what came last
    /// (a standby that was behind took over, a backup was restored): the channel gets a new epoch and keeps what it has, so that no
    /// offset means two messages. Else nothing happens. For stores to which that cannot happen while they run, nothing ever does.
    /// </summary>
    /// <returns>How far the channel reaches now.</returns>
    ValueTask<ChannelHead> RenewAsync(ChannelId channel, Position reached, CancellationToken cancellationToken = default) =>
        GetHeadAsync(channel, cancellationToken);

    /// <summary>Forgets all messages and keys of a channel and gives it a new epoch, which is returned.</summary>
    ValueTask<ChannelHead> PurgeAsync(ChannelId channel, CancellationToken cancellationToken = default);
}

/// <summary>Where the next message of a channel goes.</summary>
/// <param name="Head">How far the channel reaches.</param>
/// <param name="LastAt">
/// The time of its last message, in Unix milliseconds, below which no later one may fall; 0 for none, or none that is kept.
/// </param>
public readonly record struct ChannelEnd(ChannelHead Head, long LastAt);

/// <summary>Messages to store on one channel.</summary>
public sealed class AppendRequest
{
    /// <summary>The channel.</summary>
    public required ChannelId Channel { get; init; }

    /// <summary>Where the caller believes the head to be. The first message's offset is one more.</summary>
    public required Position ExpectedHead { get; init; }

    /// <summary>At least one message, numbered without holes from the expected head on.</summary>
    public required IReadOnlyList<Message> Messages { get; init; }

    /// <summary>How long the keys of these messages are kept; zero: they are no idempotency keys, and may repeat.</summary>
    public required TimeSpan KeyWindow { get; init; }
}

/// <summary>What became of an append.</summary>
public enum AppendStatus
{
    /// <summary>All messages are stored.</summary>
    Appended,

    /// <summary>Nothing is stored: the head is elsewhere.</summary>
    HeadMoved,

    /// <summary>Nothing is stored: some keys were seen before.</summary>
    KeysSeen,
}

/// <summary>A message of an append whose key was stored before.</summary>
/// <param name="Index">Its index in <see cref="AppendRequest.Messages"/>.</param>
/// <param name="Offset">The offset of the first message with the key.</param>
public readonly record struct SeenKey(int Index, long Offset);

/// <summary>The answer to an append.</summary>
/// <param name="Status">What became of it.</param>
/// <param name="Head">The channel's head now.</param>
/// <param name="Seen">For <see cref="AppendStatus.KeysSeen"/>: every message of the request whose key was seen.</param>
public readonly record struct AppendResult(AppendStatus Status, Position Head, IReadOnlyList<SeenKey> Seen)
{
    /// <summary>
    /// The ids of the webhook subscriptions that got work by this append and had none before, to be woken; null: none. See <see cref="Webhooks.Store.IWebhookStore"/>.
    /// </summary>
    public IReadOnlyList<string>? Woken { get; init; }

    /// <summary>All stored.</summary>
    public static AppendResult Appended(Position head) => new(AppendStatus.Appended, head, []);

    /// <summary>The head is elsewhere.</summary>
    public static AppendResult HeadMoved(Position head) => new(AppendStatus.HeadMoved, head, []);

    /// <summary>Some keys were seen before.</summary>
    public static AppendResult KeysSeen(Position head, IReadOnlyList<SeenKey> seen) => new(AppendStatus.KeysSeen, head, seen);
}

/// <summary>The store behind a log cannot be used right now: away, full, or shutting down.</summary>
[GenerateSerializer, Alias("grid.LogUnavailableException")]
public sealed class LogUnavailableException : Exception
{
    /// <summary>Says why.</summary>
    public LogUnavailableException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }

    /// <summary>Without a reason.</summary>
    public LogUnavailableException()
        : this("The message log is unavailable.")
    {
    }

    /// <summary>Says why.</summary>
    public LogUnavailableException(string message)
        : this(message, null)
    {
    }
}

using Grid.Server.Webhooks.Delivery;

namespace Grid.Server.Webhooks.Store;

/// <summary>
/// What is stored of webhook subscriptions: definitions, marks, progress, failed messages, attempts. It lies in the same store as the
/// durable log, because appends leave marks in it in the same atomic step.
/// </summary>
/// <remarks>
/// <para><b>Marks.</b> An append to a durable channel leaves, together with its messages, a mark for every subscription of the tenant
/// with a matching pattern that has none on the channel yet: the place before the append. Its result names the subscriptions that had no
/// mark (<see cref="Log.AppendResult.Woken"/>), which are to be woken. A mark stays until the subscription has settled the channel up to
/// its head (<see cref="ClearMarksAsync"/>, which compares under the same order in which appends happen). So a subscription without marks
/// has settled all that was ever acknowledged, a busy one costs appends nothing, and no call has to arrive for a message to be found:
/// <see cref="FindDueAsync"/> finds subscriptions with marks after a crash.</para>
/// <para><b>Creation.</b> Once <see cref="CreateAsync"/> or <see cref="UpdateAsync"/> is done, every append that begins finds the new
/// patterns. One that began before may leave a mark or not, and may not be answered yet: whoever tells the subscription's maker that it
/// is made waits for those first (<see cref="Channels.IPublishBarrier"/>).</para>
/// <para><b>Durability.</b> What is written is synced before the call ends, but for attempts and cleared marks, which only come before
/// what is written later (a mark that a crash brings back is cleared again), and for writes of progress that nobody awaits, of which a
/// power failure may take the last quarter of a second. Many callers' writes share one sync. After a crash every write is there whole, or not at all.</para>
/// <para><b>Failure.</b> <see cref="Log.LogUnavailableException"/>: the store is away, the outcome unknown; all writes may be repeated.</para>
/// </remarks>
internal interface IWebhookStore
{
    /// <summary>Stores a new subscription. False: the tenant has so many already, and nothing was stored.</summary>
    /// <param name="webhook">The subscription; <see cref="StoredWebhook.Version"/> is 1.</param>
    /// <param name="most">The most subscriptions that a tenant may have.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    ValueTask<bool> CreateAsync(StoredWebhook webhook, int most, CancellationToken cancellationToken = default);

    /// <summary>
    /// Marks all matching channels that there are from the oldest message that they keep, in the place of the marks that they have; not in one
    /// step, so that marks read meanwhile may still move back.
    /// </summary>
    ValueTask MarkAllAsync(StoredWebhook webhook, CancellationToken cancellationToken = default);

    /// <summary>
    /// Replaces a subscription, if its stored version is one less than that of <paramref name="webhook"/>. Marks on channels that no longer
    /// match stay until they are cleared.
    /// </summary>
    /// <param name="webhook">The subscription as it is to be.</param>
    /// <param name="generation">The caller's generation, as it was claimed.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>
    /// False: it is gone, was changed by somebody else, or an activation of a higher generation has claimed it, which would not learn of the
    /// change.
    /// </returns>
    ValueTask<bool> UpdateAsync(StoredWebhook webhook, long generation, CancellationToken cancellationToken = default);

    /// <summary>
    /// Removes a subscription with its marks, progress, parked messages, dead letters and truncations; attempts go with their age. False:
    /// there was none. When it fails the subscription may be gone already, and what is left of its rows goes later
    /// (<see cref="DropDeadLettersAsync"/>).
    /// </summary>
    ValueTask<bool> DeleteAsync(WebhookId webhook, CancellationToken cancellationToken = default);

    /// <summary>A subscription; null: there is none.</summary>
    ValueTask<StoredWebhook?> GetAsync(WebhookId webhook, CancellationToken cancellationToken = default);

    /// <summary>A tenant's subscriptions by id.</summary>
    /// <param name="tenant">The tenant.</param>
    /// <param name="after">The id before the first one wanted; empty: from the first.</param>
    /// <param name="limit">The most to return.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    ValueTask<IReadOnlyList<StoredWebhook>> ListAsync(
        string tenant, string after, int limit, CancellationToken cancellationToken = default);

    /// <summary>
    /// An activation takes the subscription over: writes of those before it are refused from now on, and what they wrote is what is read.
    /// Kept for as long as there can be such: not synced where a crash of the store ends the activations too.
    /// </summary>
    /// <returns>Its generation, above all before it; null: there is no such subscription.</returns>
    ValueTask<long?> ClaimAsync(WebhookId webhook, CancellationToken cancellationToken = default);

    /// <summary>Marks of a subscription by the channel's name, a page at a time: a prefix can match millions of channels.</summary>
    /// <param name="webhook">The subscription.</param>
    /// <param name="after">The name before the first one wanted; empty: from the first.</param>
    /// <param name="limit">The most to return.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    ValueTask<IReadOnlyList<WebhookMark>> GetMarksAsync(
        WebhookId webhook, string after, int limit, CancellationToken cancellationToken = default);

    /// <summary>The marks of a subscription on some channels, as far as there are any.</summary>
    ValueTask<IReadOnlyList<WebhookMark>> FindMarksAsync(
        WebhookId webhook, IReadOnlyList<string> channels, CancellationToken cancellationToken = default);

    /// <summary>
    /// Removes marks of channels that are settled up to a place, if that is still their head; the others stay, and so does the mark of a
    /// channel whose epoch is another one. Must come after the write of that progress.
    /// </summary>
    /// <param name="webhook">The subscription.</param>
    /// <param name="generation">The caller's generation, as it was claimed.</param>
    /// <param name="settled">Up to where which channels are settled.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>
    /// For each whether the mark is gone; false: more was appended, read on. Null: an activation of a higher generation has claimed the
    /// subscription, which may know of channels that joined since; nothing was removed.
    /// </returns>
    ValueTask<bool[]?> ClearMarksAsync(
        WebhookId webhook, long generation, IReadOnlyList<WebhookMark> settled, CancellationToken cancellationToken = default);

    /// <summary>The progress as last written; null: there is none.</summary>
    ValueTask<WebhookSnapshot?> ReadProgressAsync(WebhookId webhook, CancellationToken cancellationToken = default);

    /// <summary>
    /// Carries out the effects that concern rows (dead letters, parked messages, truncations) and stores the snapshot's header and
    /// channels, all in one atomic step. Other effects are not looked at, and neither are truncations that only a replay met.
    /// </summary>
    /// <param name="webhook">The subscription.</param>
    /// <param name="write">What to write.</param>
    /// <param name="nextWake">
    /// When the subscription has something to do though nothing happens (<see cref="WebhookMachine.NextWake"/>), in Unix milliseconds;
    /// null: never. Replaces the one before.
    /// </param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>False: an activation of a higher generation has claimed it, or the subscription is gone; nothing was stored.</returns>
    ValueTask<bool> WriteAsync(
        WebhookId webhook, WebhookWrite write, long? nextWake, CancellationToken cancellationToken = default);

    /// <summary>Parked messages by due time, from a due time on.</summary>
    ValueTask<IReadOnlyList<ParkedRow>> ReadParkedAsync(
        WebhookId webhook, long from, int limit, CancellationToken cancellationToken = default);

    /// <summary>
    /// Puts messages among the parked ones on request (resend, redrive), each in the place of its former row, and takes them out of the
    /// dead letters. In the same step the stored header learns of them (<see cref="WebhookSnapshot.StoredDue"/>, and the wake-up), so that
    /// they are found after a crash; the next <see cref="WriteAsync"/> must know of them too. Without the subscription nothing happens.
    /// </summary>
    ValueTask ParkAsync(WebhookId webhook, IReadOnlyList<ParkedRow> rows, CancellationToken cancellationToken = default);

    /// <summary>Dead letters, newest first.</summary>
    /// <param name="webhook">The subscription.</param>
    /// <param name="before">Only those that failed before, in Unix milliseconds and by message id; default: from the newest.</param>
    /// <param name="limit">The most to return.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    ValueTask<IReadOnlyList<StoredDeadLetter>> ListDeadLettersAsync(
        WebhookId webhook, StoredPlace before, int limit, CancellationToken cancellationToken = default);

    /// <summary>What retention took before it was delivered, newest first, at most <paramref name="limit"/>.</summary>
    ValueTask<IReadOnlyList<StoredTruncation>> ListTruncationsAsync(
        WebhookId webhook, int limit, CancellationToken cancellationToken = default);

    /// <summary>
    /// Stores attempts. Not synced: what is written later is stored after them, so after a crash an acknowledgement is never there without its
    /// attempt.
    /// </summary>
    ValueTask AddAttemptsAsync(IReadOnlyList<StoredAttempt> attempts, CancellationToken cancellationToken = default);

    /// <summary>Attempts, newest first; as many as are wanted, or as are found among the rows that may be looked at.</summary>
    ValueTask<AttemptPage> ListAttemptsAsync(WebhookId webhook, AttemptQuery query, CancellationToken cancellationToken = default);

    /// <summary>Drops attempts older than a time, by whole ranges or partitions: some may stay up to a day longer.</summary>
    ValueTask DropAttemptsAsync(DateTimeOffset before, CancellationToken cancellationToken = default);

    /// <summary>
    /// Drops dead letters that failed, and truncations that were stored, before a time; and what is left of subscriptions whose deletion was cut
    /// off.
    /// </summary>
    ValueTask DropDeadLettersAsync(DateTimeOffset before, CancellationToken cancellationToken = default);

    /// <summary>
    /// Subscriptions of some shards (<see cref="WebhookId.Shard"/>) that have marks, or whose wake-up time has come. Those that are not to be
    /// woken (by their header's status, an open circuit whose next probe is later, or <see cref="WebhookSnapshot.HeldUntil"/>) are left
    /// out. By id.
    /// </summary>
    /// <param name="shards">Which shards.</param>
    /// <param name="nowMs">The time.</param>
    /// <param name="after">The subscription before the first one wanted; null: from the first.</param>
    /// <param name="limit">The most to return.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    ValueTask<IReadOnlyList<WebhookId>> FindDueAsync(
        IReadOnlyCollection<int> shards, long nowMs, WebhookId? after, int limit, CancellationToken cancellationToken = default);

    /// <summary>Names of a tenant's durable channels that match a pattern, by name.</summary>
    ValueTask<IReadOnlyList<string>> FindChannelsAsync(
        string tenant, string pattern, string after, int limit, CancellationToken cancellationToken = default);
}

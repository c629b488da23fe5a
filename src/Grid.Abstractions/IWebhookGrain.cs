using Grid.Protocol;
using Orleans.Concurrency;

namespace Grid.Abstractions;

/// <summary>
/// One webhook subscription, by the key <c>tenant/wh_…</c>: its definition, its cursors, and the deliveries under way. Every call on a
/// subscription that does not exist, or no longer, answers null or false.
/// </summary>
[Alias("grid.IWebhookGrain")]
public interface IWebhookGrain : IGrainWithStringKey
{
    /// <summary>Makes the subscription. When this is answered, messages that are acknowledged from then on are delivered.</summary>
    /// <param name="definition">What it is; checked by the caller.</param>
    /// <param name="fromStart">Whether it begins with the oldest message kept of every matching channel, instead of with now.</param>
    /// <returns>The subscription and its secret, which is never shown again; null: the tenant has too many.</returns>
    [Alias("Create")]
    Task<WebhookCreated?> CreateAsync(WebhookDefinition definition, bool fromStart);

    /// <summary>The subscription as it is now.</summary>
    /// <param name="inList">
    /// Whether many are asked at once. Then cursors and truncations are left out, and only a few channels are looked at, so that the lag can be
    /// less than it is.
    /// </param>
    [Alias("Get")]
    Task<WebhookDescription?> GetAsync(bool inList = false);

    /// <summary>
    /// Replaces the definition; cursors stay. New channels begin with now. A header whose value is what reads show in place of the real one
    /// keeps the value that is stored: who changes something has read the definition, and knows no other.
    /// </summary>
    /// <param name="definition">The new one.</param>
    /// <param name="version">What <see cref="WebhookDescription.Version"/> must be still; null: whatever it is.</param>
    /// <returns>
    /// Null, and nothing is changed, if there is no such subscription or it has another version; also if another activation has it, and then
    /// reading it tells what is stored.
    /// </returns>
    [Alias("Update")]
    Task<WebhookDescription?> UpdateAsync(WebhookDefinition definition, long? version = null);

    /// <summary>Removes the subscription and all that is stored of it. Requests on their way are not called back.</summary>
    [Alias("Delete")]
    Task<bool> DeleteAsync();

    /// <summary>Makes a new secret. The earlier ones sign as well for <paramref name="overlap"/>.</summary>
    /// <returns>The new secret, which is never shown again.</returns>
    [Alias("RotateSecret")]
    Task<string?> RotateSecretAsync(TimeSpan overlap);

    /// <summary>Sends a <c>grid.test</c> event now, whatever the status, and returns the attempt. Null also for one without a URL.</summary>
    [Alias("Test"), ResponseTimeout(CallLimits.WebhookTest)]
    Task<WebhookAttemptDescription?> TestAsync();

    /// <summary>Stops deliveries, and keeps everything.</summary>
    [Alias("Pause")]
    Task<bool> PauseAsync();

    /// <summary>Goes on after a pause.</summary>
    [Alias("Resume")]
    Task<bool> ResumeAsync();

    /// <summary>Switches it off; cursors and backlog stay, within retention.</summary>
    [Alias("Disable")]
    Task<bool> DisableAsync();

    /// <summary>Switches it on again. False: it is not disabled, or there is none.</summary>
    [Alias("Enable")]
    Task<bool> EnableAsync(WebhookStart from);

    /// <summary>Moves cursors: everything after these places is delivered (again), nothing before them.</summary>
    [Alias("Seek")]
    Task<bool> SeekAsync(WebhookStart to);

    /// <summary>Gives up one message.</summary>
    [Alias("Skip")]
    Task<bool> SkipAsync(string messageId);

    /// <summary>Sends one message again, whatever became of it. False: no such message is kept, or it does not match.</summary>
    [Alias("Resend")]
    Task<bool> ResendAsync(string messageId);

    /// <summary>A page of attempts, newest first. So that no call reads all that there are, it can have fewer than are wanted, and none, with more to come.</summary>
    [Alias("ListAttemptPage")]
    Task<WebhookAttemptPage?> ListAttemptsAsync(WebhookAttemptQuery query);

    /// <summary>Dead letters, newest first, at most <paramref name="limit"/>, that come after <paramref name="after"/> (of <see cref="WebhookDeadLetter.Place"/>).</summary>
    [Alias("ListDeadLetters")]
    Task<WebhookDeadLetter[]?> ListDeadLettersAsync(string? after, int limit);

    /// <summary>Puts dead letters on their way again, newest first: of some hundreds, those that are named, or all.</summary>
    /// <param name="messageIds">Which; null: all.</param>
    /// <param name="after">What <see cref="WebhookRedrivePage.Next"/> of the call before was; null: from the newest.</param>
    [Alias("RedrivePage")]
    Task<WebhookRedrivePage?> RedriveAsync(string[]? messageIds, string? after);

    /// <summary>Delivers what matches from a place on once more, beside what is new. Null: no such subscription, or a replay is under way.</summary>
    [Alias("Replay")]
    Task<WebhookReplay?> ReplayAsync(WebhookStart from, double? perSecond);

    /// <summary>A replay, while it lasts and for the last one ended.</summary>
    [Alias("GetReplay")]
    Task<WebhookReplay?> GetReplayAsync(string id);

    /// <summary>Ends a replay.</summary>
    [Alias("CancelReplay")]
    Task<WebhookReplay?> CancelReplayAsync(string id);

    /// <summary>For a subscription without a URL: hands out messages, each leased for a while. Null also for one with a URL.</summary>
    /// <param name="limit">The most messages, up to 1,000; fewer when they are large.</param>
    /// <param name="lease">1 s to 12 h. After how long a message that is not acknowledged is handed out again.</param>
    [Alias("Poll")]
    Task<WebhookPulled[]?> PollAsync(int limit, TimeSpan lease);

    /// <summary>Acknowledges messages that were handed out, and gives others back. Tells how many were acknowledged.</summary>
    [Alias("Ack")]
    Task<int?> AckAsync(string[] acknowledged, string[] returned);

    /// <summary>It has something to do: its time has come, or something was published for it.</summary>
    [Alias("Wake"), OneWay]
    Task WakeAsync();

    /// <summary>Something was published for it to a channel on which it had no mark. May be lost: a sweep finds what was.</summary>
    [Alias("WakeFor"), OneWay]
    Task WakeForAsync(string channel);
}

/// <summary>What a person sets of a subscription.</summary>
[GenerateSerializer, Immutable, Alias("grid.WebhookDefinition")]
public sealed record WebhookDefinition
{
    /// <summary>Where to; null: messages are polled for.</summary>
    [Id(0)] public string? Url { get; init; }

    /// <summary>
    /// Names of channels, or prefixes that end with <c>*</c>, of durable namespaces: messages of ephemeral channels are not delivered.
    /// </summary>
    [Id(1)] public required string[] Channels { get; init; }

    /// <summary>Names of events, or prefixes that end with <c>*</c>; empty: all, and messages without one too.</summary>
    [Id(2)] public string[] Events { get; init; } = [];

    /// <summary><c>parallel</c>, <c>keyed</c> or <c>ordered</c>.</summary>
    [Id(3)] public string Mode { get; init; } = "parallel";

    /// <summary>For <c>keyed</c>: lanes are message keys up to this character instead of channels; null: channels.</summary>
    [Id(4)] public string? KeySeparator { get; init; }

    /// <summary>For <c>ordered</c>: <c>block</c>, <c>deadLetter</c> or <c>pause</c>.</summary>
    [Id(5)] public string OnExhausted { get; init; } = "block";

    /// <summary>For people.</summary>
    [Id(6)] public string? Description { get; init; }

    /// <summary>Headers to send along; their values are redacted in what is read.</summary>
    [Id(7)] public Dictionary<string, string> Headers { get; init; } = [];

    /// <summary>The most requests per second; null: no limit.</summary>
    [Id(8)] public double? PerSecond { get; init; }

    /// <summary>After how many seconds each further attempt is made; null: 0, 5, 300, 1,800, 7,200, 18,000, 36,000, 50,400, 72,000, 86,400.</summary>
    [Id(9)] public int[]? Schedule { get; init; }

    /// <summary><c>json</c>, <c>cloudevents</c> or <c>cloudevents-binary</c>.</summary>
    [Id(10)] public string Format { get; init; } = "json";

    /// <summary>Whether an Ed25519 signature (<c>v1a</c>) is made too.</summary>
    [Id(11)] public bool Asymmetric { get; init; }

    /// <summary>Whether the endpoint must agree by the handshake of CloudEvents before anything is sent.</summary>
    [Id(12)] public bool Handshake { get; init; }
}

/// <summary>A new subscription, with its secret.</summary>
/// <param name="Webhook">The subscription.</param>
/// <param name="Secret">Its secret, <c>whsec_…</c>; shown once.</param>
[GenerateSerializer, Immutable, Alias("grid.WebhookCreated")]
public sealed record WebhookCreated([property: Id(0)] WebhookDescription Webhook, [property: Id(1)] string Secret);

/// <summary>A subscription and how it fares.</summary>
[GenerateSerializer, Immutable, Alias("grid.WebhookDescription")]
public sealed record WebhookDescription
{
    /// <summary>Its id, <c>wh_…</c>.</summary>
    [Id(0)] public required string Id { get; init; }

    /// <summary>What was set; header values redacted.</summary>
    [Id(1)] public required WebhookDefinition Definition { get; init; }

    /// <summary>When it was made.</summary>
    [Id(2)] public required DateTimeOffset CreatedAt { get; init; }

    /// <summary><c>active</c>, <c>paused</c> or <c>disabled</c>.</summary>
    [Id(3)] public required string Status { get; init; }

    /// <summary>Why it is disabled: <c>request</c>, <c>gone</c> (410) or <c>noSuccess</c> (5 days); null: it is not.</summary>
    [Id(4)] public string? Reason { get; init; }

    /// <summary>By channel: everything up to there is settled. Of channels in which nothing waits, only the last ones are known.</summary>
    [Id(5)] public required Dictionary<string, Position> Cursors { get; init; }

    /// <summary>Messages that are not settled; those that the events filter will not want are among them.</summary>
    [Id(6)] public long LagMessages { get; init; }

    /// <summary>How old the oldest of them is, in seconds; 0: there is none.</summary>
    [Id(7)] public double LagSeconds { get; init; }

    /// <summary>Requests on their way.</summary>
    [Id(8)] public int InFlight { get; init; }

    /// <summary><c>closed</c>, <c>open</c> (the endpoint is taken for dead and probed) or <c>held</c> (it asked to be left alone).</summary>
    [Id(9)] public string Circuit { get; init; } = "closed";

    /// <summary>When it is tried again, while it is open or held.</summary>
    [Id(10)] public DateTimeOffset? RetryAt { get; init; }

    /// <summary>Messages that failed and wait for their next attempt.</summary>
    [Id(11)] public int Parked { get; init; }

    /// <summary>The id of the message that an ordered subscription, or a lane, waits for; null: none.</summary>
    [Id(12)] public string? BlockedBy { get; init; }

    /// <summary>Its public key, <c>whpk_…</c>; null without Ed25519.</summary>
    [Id(13)] public string? PublicKey { get; init; }

    /// <summary>What retention took before it was delivered, newest first; the last 20.</summary>
    [Id(14)] public WebhookTruncation[] Truncated { get; init; } = [];

    /// <summary>Rises with every change of what is stored of it: tells whether <see cref="Definition"/> is still what it was.</summary>
    [Id(15)] public long Version { get; init; }
}

/// <summary>Messages that will never be delivered.</summary>
/// <param name="Channel">Their channel.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="From">The first offset.</param>
/// <param name="To">The last.</param>
/// <param name="Count">How many, at most.</param>
[GenerateSerializer, Immutable, Alias("grid.WebhookTruncation")]
public readonly record struct WebhookTruncation(
    [property: Id(0)] string Channel, [property: Id(1)] string Epoch, [property: Id(2)] long From, [property: Id(3)] long To, [property: Id(4)] long Count);

/// <summary>Where to begin: exactly one is set.</summary>
[GenerateSerializer, Immutable, Alias("grid.WebhookStart")]
public sealed record WebhookStart
{
    /// <summary><c>cursor</c> (where it stands) or <c>now</c>.</summary>
    [Id(0)] public string? Named { get; init; }

    /// <summary>With the first message that is not older.</summary>
    [Id(1)] public DateTimeOffset? Since { get; init; }

    /// <summary>After these places; channels that are not named are left as they are.</summary>
    [Id(2)] public Dictionary<string, Position>? Positions { get; init; }
}

/// <summary>One request, and what became of it.</summary>
[GenerateSerializer, Immutable, Alias("grid.WebhookAttemptDescription")]
public sealed record WebhookAttemptDescription
{
    /// <summary>Its id, <c>att_…</c>.</summary>
    [Id(0)] public required string Id { get; init; }

    /// <summary>The message's id, the <c>webhook-id</c>.</summary>
    [Id(1)] public required string MessageId { get; init; }

    /// <summary>The message's channel; null for a test event.</summary>
    [Id(2)] public string? Channel { get; init; }

    /// <summary>The message's offset.</summary>
    [Id(3)] public long Offset { get; init; }

    /// <summary>The how-manieth attempt.</summary>
    [Id(4)] public int Attempt { get; init; }

    /// <summary>When it began.</summary>
    [Id(5)] public required DateTimeOffset At { get; init; }

    /// <summary>How long it took, in milliseconds.</summary>
    [Id(6)] public int DurationMs { get; init; }

    /// <summary>The answer's status; null: there was none.</summary>
    [Id(7)] public int? Status { get; init; }

    /// <summary>Whether it counts as delivered.</summary>
    [Id(8)] public bool Succeeded { get; init; }

    /// <summary>What went wrong, as a word: <c>dns</c>, <c>refusedAddress</c>, <c>connect</c>, <c>tls</c>, <c>timeout</c>, <c>reset</c>, <c>protocol</c>, <c>redirect</c>, <c>status</c>, <c>proxy</c>, <c>busy</c>; null: nothing.</summary>
    [Id(9)] public string? Error { get; init; }

    /// <summary>The same for people.</summary>
    [Id(10)] public string? Detail { get; init; }

    /// <summary>The beginning of the answer.</summary>
    [Id(11)] public string? Response { get; init; }

    /// <summary>Whether it went on after that.</summary>
    [Id(12)] public bool ResponseClipped { get; init; }
}

/// <summary>Which attempts are wanted.</summary>
[GenerateSerializer, Immutable, Alias("grid.WebhookAttemptQuery")]
public sealed record WebhookAttemptQuery
{
    /// <summary>Only those that succeeded, or failed; null: both.</summary>
    [Id(0)] public bool? Succeeded { get; init; }

    /// <summary>Only those of one message.</summary>
    [Id(1)] public string? MessageId { get; init; }

    /// <summary>Only those older than the attempt with this id; null: from the newest.</summary>
    [Id(2)] public string? Before { get; init; }

    /// <summary>Only those that began not before this.</summary>
    [Id(3)] public DateTimeOffset? Since { get; init; }

    /// <summary>Only those that began before this.</summary>
    [Id(4)] public DateTimeOffset? Until { get; init; }

    /// <summary>The most to return.</summary>
    [Id(5)] public int Limit { get; init; } = 50;
}

/// <summary>Some of the attempts that are wanted.</summary>
/// <param name="Attempts">The attempts, newest first.</param>
/// <param name="Next">What <see cref="WebhookAttemptQuery.Before"/> is to go on; null: there are no more.</param>
[GenerateSerializer, Immutable, Alias("grid.WebhookAttemptPage")]
public sealed record WebhookAttemptPage([property: Id(0)] WebhookAttemptDescription[] Attempts, [property: Id(1)] string? Next);

/// <summary>What became of some dead letters.</summary>
/// <param name="Redriven">How many of them are on their way again.</param>
/// <param name="Next">Where to go on; null: there are no more.</param>
[GenerateSerializer, Immutable, Alias("grid.WebhookRedrivePage")]
public sealed record WebhookRedrivePage([property: Id(0)] int Redriven, [property: Id(1)] string? Next);

/// <summary>A message whose attempts are used up.</summary>
[GenerateSerializer, Immutable, Alias("grid.WebhookDeadLetter")]
public sealed record WebhookDeadLetter
{
    /// <summary>The message's id.</summary>
    [Id(0)] public required string MessageId { get; init; }

    /// <summary>Its channel.</summary>
    [Id(1)] public required string Channel { get; init; }

    /// <summary>Its epoch.</summary>
    [Id(2)] public required string Epoch { get; init; }

    /// <summary>Its offset.</summary>
    [Id(3)] public long Offset { get; init; }

    /// <summary>How many attempts it had.</summary>
    [Id(4)] public int Attempts { get; init; }

    /// <summary>When the last one failed.</summary>
    [Id(5)] public required DateTimeOffset At { get; init; }

    /// <summary>How.</summary>
    [Id(6)] public string? Failure { get; init; }

    /// <summary>Where it stands in the list: what the next page begins after.</summary>
    [Id(7)] public required string Place { get; init; }
}

/// <summary>A replay.</summary>
[GenerateSerializer, Immutable, Alias("grid.WebhookReplay")]
public sealed record WebhookReplay
{
    /// <summary>Its id, <c>rp_…</c>.</summary>
    [Id(0)] public required string Id { get; init; }

    /// <summary><c>running</c>, <c>done</c> or <c>cancelled</c>.</summary>
    [Id(1)] public required string Status { get; init; }

    /// <summary>Messages delivered.</summary>
    [Id(2)] public long Delivered { get; init; }

    /// <summary>Messages that failed at first; they are tried again like any other.</summary>
    [Id(3)] public long Failed { get; init; }

    /// <summary>Offsets not yet settled.</summary>
    [Id(4)] public long Remaining { get; init; }
}

/// <summary>A message handed out to who polls.</summary>
[GenerateSerializer, Immutable, Alias("grid.WebhookPulled")]
public sealed record WebhookPulled
{
    /// <summary>What to acknowledge it by.</summary>
    [Id(0)] public required string Lease { get; init; }

    /// <summary>The message's id, the same each time it is handed out.</summary>
    [Id(1)] public required string MessageId { get; init; }

    /// <summary>Its channel.</summary>
    [Id(2)] public required string Channel { get; init; }

    /// <summary>Its epoch.</summary>
    [Id(3)] public required string Epoch { get; init; }

    /// <summary>The how-manieth time it is handed out.</summary>
    [Id(4)] public int Attempt { get; init; }

    /// <summary>The message.</summary>
    [Id(5)] public required Message Message { get; init; }
}

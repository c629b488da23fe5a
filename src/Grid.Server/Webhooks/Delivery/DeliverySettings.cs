namespace Grid.Server.Webhooks.Delivery;

/// <summary>In which order messages are delivered.</summary>
internal enum WebhookMode
{
    /// <summary>Many at once; one that fails is tried again later and holds nothing back.</summary>
    Parallel,

    /// <summary>One at a time per lane: a channel, or what <see cref="DeliverySettings.KeySeparator"/> makes of a message's key.</summary>
    Keyed,

    /// <summary>One at a time.</summary>
    Ordered,
}

/// <summary>What an ordered subscription does with a message whose attempts are used up.</summary>
internal enum ExhaustionRule
{
    /// <summary>It goes on trying, with the schedule's last delay, and delivers nothing else.</summary>
    Block,

    /// <summary>The message becomes a dead letter, and the next one is delivered.</summary>
    DeadLetter,

    /// <summary>The subscription pauses; resuming it tries the message anew.</summary>
    Pause,
}

/// <summary>How a subscription delivers.</summary>
internal sealed record DeliverySettings
{
    /// <summary>The order. Default: <see cref="WebhookMode.Parallel"/>.</summary>
    public WebhookMode Mode { get; init; }

    /// <summary>
    /// For <see cref="WebhookMode.Keyed"/>: messages of a channel whose keys are equal up to this character (or wholly, in keys
    /// without it) share a lane; those without a key share one, too. Null, the default: a channel is one lane.
    /// </summary>
    public char? KeySeparator { get; init; }

    /// <summary>For <see cref="WebhookMode.Ordered"/>. Default: <see cref="ExhaustionRule.Block"/>. The other modes make dead letters.</summary>
    public ExhaustionRule OnExhausted { get; init; }

    /// <summary>Which messages are wanted. Default: all.</summary>
    public EventFilter Events { get; init; } = EventFilter.Everything;

    /// <summary>When a message that failed is tried again.</summary>
    public RetrySchedule Schedule { get; init; } = RetrySchedule.Default;

    /// <summary>The most requests per second. Null, the default: no limit.</summary>
    public double? PerSecond { get; init; }

    /// <summary>When the endpoint counts as dead.</summary>
    public CircuitSettings Circuit { get; init; } = CircuitSettings.Default;

    /// <summary>What bounds the subscription's state and memory.</summary>
    public DeliveryLimits Limits { get; init; } = DeliveryLimits.Default;
}

/// <summary>What bounds the state and the memory of a subscription, and how often it is written.</summary>
internal sealed record DeliveryLimits
{
    /// <summary>The defaults.</summary>
    public static DeliveryLimits Default { get; } = new();

    /// <summary>Requests on their way at once, before anything is known of the endpoint. Default: 16.</summary>
    public int InitialWindow { get; init; } = 16;

    /// <summary>The most requests on their way at once. Default: 256.</summary>
    public int MaxWindow { get; init; } = 256;

    /// <summary>Messages read ahead at which reading stops; pages under way may still come on top. Default: 512.</summary>
    public int MaxQueued { get; init; } = 512;

    /// <summary>The payload bytes read ahead at which reading stops. Default: 1 MiB.</summary>
    public int MaxQueuedBytes { get; init; } = 1024 * 1024;

    /// <summary>The most messages of a channel read at once. Default: 64.</summary>
    public int PageMessages { get; init; } = 64;

    /// <summary>The most reads under way. Default: 8.</summary>
    public int MaxReads { get; init; } = 8;

    /// <summary>The most failed messages kept in the state; above it, parallel subscriptions park the oldest durably. Default: 1,000.</summary>
    public int MaxParked { get; init; } = 1_000;

    /// <summary>
    /// The runs of acknowledged offsets above the floors, over all channels, at which nothing new is read until holes are filled.
    /// What was read before still adds runs: at most one for each message on its way or read ahead. Default: 1,024.
    /// </summary>
    public int MaxRanges { get; init; } = 1_024;

    /// <summary>
    /// The channels known at which those are forgotten of which everything is settled: a prefix can match millions. Channels with
    /// something to do are known beyond it. Default: 1,000.
    /// </summary>
    public int MaxRestingChannels { get; init; } = 1_000;

    /// <summary>Acknowledgements and effects not yet written at which nothing new is sent: the store is away. Default: 1,024.</summary>
    public int MaxUnwritten { get; init; } = 1_024;

    /// <summary>Acknowledgements after which the state is written. Default: 64.</summary>
    public int WriteAfterAcks { get; init; } = 64;

    /// <summary>How long a change waits to be written with others, in milliseconds. Default: 250.</summary>
    public long WriteAfterMs { get; init; } = 250;

    /// <summary>
    /// The same for progress over messages that no one wanted: a crash costs only reading them again. In milliseconds. Default: 5,000.
    /// </summary>
    public long WriteSkippedAfterMs { get; init; } = 5_000;
}

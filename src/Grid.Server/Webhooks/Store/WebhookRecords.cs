using Grid.Protocol;
using Grid.Server.Webhooks.Network;

namespace Grid.Server.Webhooks.Store;

/// <summary>Which subscription.</summary>
/// <param name="Tenant">Its tenant.</param>
/// <param name="Id">Its id, <c>wh_…</c>.</param>
internal readonly record struct WebhookId(string Tenant, string Id)
{
    /// <summary>How many shards subscriptions fall into, for silos to divide among them.</summary>
    public const int Shards = 64;

    /// <summary>What every <see cref="Id"/> begins with.</summary>
    public const string Prefix = "wh_";

    /// <summary>The shard; the same on every silo and for ever.</summary>
    public int Shard
    {
        get
        {
            // FNV-1a: string.GetHashCode differs from process to process.
            var hash = 2166136261u;
            foreach (var c in Id) hash = (hash ^ c) * 16777619u;
            return (int)(hash % Shards);
        }
    }

    /// <summary>A new one. Ids rise with time, so lists are in the order of creation.</summary>
    public static WebhookId New(string tenant) => new(tenant, $"{Prefix}{Guid.CreateVersion7():N}");

    /// <summary>The key of its grain.</summary>
    public override string ToString() => $"{Tenant}/{Id}";

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    public static WebhookId Parse(string text)
    {
        var slash = text.IndexOf('/', StringComparison.Ordinal);
        return new WebhookId(text[..slash], text[(slash + 1)..]);
    }
}

/// <summary>A subscription as it is stored. The store looks at nothing but its name, patterns and version.</summary>
internal sealed record StoredWebhook
{
    /// <summary>Which.</summary>
    public required WebhookId Id { get; init; }

    /// <summary>Names of channels, or prefixes that end with <c>*</c>.</summary>
    public required IReadOnlyList<string> Channels { get; init; }

    /// <summary>Counts its changes, from 1.</summary>
    public required long Version { get; init; }

    /// <summary>Everything else that a person set, as JSON.</summary>
    public required ReadOnlyMemory<byte> Definition { get; init; }

    /// <summary>Its secrets, encrypted (<see cref="Signing.SecretVault"/>).</summary>
    public required ReadOnlyMemory<byte> Secrets { get; init; }
}

/// <summary>That a subscription has work, or the place up to which it has none.</summary>
/// <param name="Channel">On which channel.</param>
/// <param name="Position">The place before the first message that it may not have settled; of a settled channel, the last.</param>
internal readonly record struct WebhookMark(string Channel, Position Position);

/// <summary>A place in a list that is sorted by time: the time in Unix milliseconds, then a name. Default: before everything.</summary>
/// <param name="At">The time.</param>
/// <param name="Name">The name.</param>
internal readonly record struct StoredPlace(long At, string? Name);

/// <summary>A message whose attempts are used up.</summary>
/// <param name="Ref">Which.</param>
/// <param name="Attempts">How many attempts it had.</param>
/// <param name="At">When the last one failed, in Unix milliseconds.</param>
/// <param name="Failure">How.</param>
internal readonly record struct StoredDeadLetter(Delivery.MessageRef Ref, int Attempts, long At, string? Failure);

/// <summary>Messages that will never be delivered.</summary>
/// <param name="Channel">Their channel.</param>
/// <param name="Epoch">Its epoch.</param>
/// <param name="From">The first.</param>
/// <param name="To">The last that is known.</param>
/// <param name="Count">How many, at most.</param>
/// <param name="Reason">Why.</param>
internal readonly record struct StoredTruncation(
    string Channel, string Epoch, long From, long To, long Count, Delivery.TruncationReason Reason);

/// <summary>One request to an endpoint, and what became of it.</summary>
internal sealed record StoredAttempt
{
    /// <summary>The subscription.</summary>
    public required WebhookId Webhook { get; init; }

    /// <summary>Its own name, <c>att_…</c>; rising with time within a silo.</summary>
    public required string Id { get; init; }

    /// <summary>The message's id (<c>webhook-id</c>).</summary>
    public required string MessageId { get; init; }

    /// <summary>The message's channel, epoch and offset; default for a test event.</summary>
    public Delivery.MessageRef Ref { get; init; }

    /// <summary>The how-manieth attempt of the message, from 1.</summary>
    public int Number { get; init; }

    /// <summary>When it began, in Unix milliseconds.</summary>
    public long At { get; init; }

    /// <summary>How long it took, in milliseconds.</summary>
    public int DurationMs { get; init; }

    /// <summary>The answer's status; 0: there was none.</summary>
    public int Status { get; init; }

    /// <summary>What went wrong.</summary>
    public WebhookErrorClass Error { get; init; }

    /// <summary>The same in words.</summary>
    public string? Detail { get; init; }

    /// <summary>The beginning of the answer.</summary>
    public string? Answer { get; init; }

    /// <summary>Whether the answer was longer than what is kept of it.</summary>
    public bool AnswerClipped { get; init; }

    /// <summary>Whether it counts as delivered.</summary>
    public bool Succeeded => Error == WebhookErrorClass.None;
}

/// <summary>Which attempts are wanted.</summary>
internal sealed record AttemptQuery
{
    /// <summary>Only those that succeeded, or failed; null: both.</summary>
    public bool? Succeeded { get; init; }

    /// <summary>Only those of one message; null: of all.</summary>
    public string? MessageId { get; init; }

    /// <summary>Only those before: time, and id of the attempt. Default: from the newest.</summary>
    public StoredPlace Before { get; init; }

    /// <summary>Only those not before, in Unix milliseconds. Default: all that are kept.</summary>
    public long Since { get; init; }

    /// <summary>The most to return.</summary>
    public int Limit { get; init; } = 50;

    /// <summary>
    /// The most rows to look at: where hardly any is one of those wanted, no request reads all that there are. More than <see cref="Limit"/>.
    /// </summary>
    public int MostRead { get; init; } = 2_000;
}

/// <summary>Some of the attempts that are wanted.</summary>
/// <param name="Attempts">Newest first; there can be fewer than the limit, and none, with more to come.</param>
/// <param name="Next">Where to go on (<see cref="AttemptQuery.Before"/>): the last attempt that was looked at. Default: all were.</param>
internal sealed record AttemptPage(IReadOnlyList<StoredAttempt> Attempts, StoredPlace Next);

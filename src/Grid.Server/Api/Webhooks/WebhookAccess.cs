using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;
using Microsoft.AspNetCore.Http;

namespace Grid.Server.Api;

/// <summary>
/// Finds the subscriptions of a caller's tenant, and says what the caller may do with them. The tenant is part of the grain's key and
/// comes from the credential, so another tenant's subscription does not exist here.
/// </summary>
/// <remarks>
/// A subscription hands messages to whoever it names, so a key needs <c>subscribe</c> on all of its channels for anything that it does with
/// one, and <c>history</c> to start it in the past.
/// </remarks>
internal sealed class WebhookAccess(
    IGrainFactory grains, IWebhookStore store, IChannelReader reader, WebhookRules rules, PlaygroundWebhookRules playground)
{
    /// <summary>What a caller's settings may be.</summary>
    public WebhookRules RulesFor(Caller caller) => IsVisitor(caller) ? playground : rules;

    /// <summary>
    /// Makes room for a visitor's subscription: strangers have few on a channel, and few in all, of which the oldest gives way. Nobody
    /// counts those that are made at the same moment, which the limit on how fast a stranger makes them bounds.
    /// </summary>
    /// <exception cref="GridProblemException">The channel has as many as it may have.</exception>
    public async ValueTask MakeRoomAsync(Caller caller, string[] channels, CancellationToken cancellationToken)
    {
        if (!IsVisitor(caller)) return;
        var stored = await store.ListAsync(caller.Tenant, "", PlaygroundWebhookRules.MaxInAll + 1, cancellationToken);
        if (stored.Count(w => w.Channels.Intersect(channels).Any()) >= PlaygroundWebhookRules.MaxOnChannel)
        {
            throw new GridProblemException(new(
                ErrorCode.QuotaExceeded, $"A room has at most {PlaygroundWebhookRules.MaxOnChannel} webhooks: remove one first."));
        }

        foreach (var oldest in stored.Take(stored.Count - PlaygroundWebhookRules.MaxInAll + 1)) await Grain(caller, oldest.Id.Id).DeleteAsync();
    }

    /// <summary>The grain of a subscription, not asked whether it exists.</summary>
    public IWebhookGrain Grain(Caller caller, string id) => grains.GetGrain<IWebhookGrain>($"{caller.Tenant}/{id}");

    /// <summary>
    /// A page of the tenant's subscriptions, without those that are not the caller's to use; and what the next page begins after, null if
    /// there is none.
    /// </summary>
    public async ValueTask<(WebhookDescription[] Webhooks, string? Next)> ListAsync(
        Caller caller, string after, int limit, CancellationToken cancellationToken)
    {
        // One more than asked for tells whether there is a next page.
        var stored = await store.ListAsync(caller.Tenant, after, limit + 1, cancellationToken);
        var found = await Task.WhenAll(stored
            .Take(limit)
            .Where(w => May(caller, w.Channels, Capability.Subscribe))
            .Select(w => Grain(caller, w.Id.Id).GetAsync(inList: true)));
        return ([.. found.OfType<WebhookDescription>()], stored.Count > limit ? stored[limit - 1].Id.Id : null);
    }

    /// <summary>
    /// A subscription that the caller may use. A key that may subscribe to everything costs no call: whether the subscription exists
    /// is then told by the call that follows.
    /// </summary>
    /// <exception cref="GridProblemException">There is none (404), or it is not the caller's to use (403).</exception>
    public async ValueTask<IWebhookGrain> FindAsync(Caller caller, string id)
    {
        if (!WebhookRules.IsId(id)) throw new GridProblemException(None());
        if (!caller.Capabilities.Allows("*", Capability.Subscribe)) await GetAsync(caller, id);
        return Grain(caller, id);
    }

    /// <summary>A subscription that the caller may use, as it is now.</summary>
    /// <exception cref="GridProblemException">There is none (404), or it is not the caller's to use (403).</exception>
    public async ValueTask<WebhookDescription> GetAsync(Caller caller, string id)
    {
        if (!WebhookRules.IsId(id)) throw new GridProblemException(None());
        var webhook = await Grain(caller, id).GetAsync() ?? throw new GridProblemException(None());
        CheckMay(caller, webhook.Definition.Channels, Capability.Subscribe);
        return webhook;
    }

    /// <summary>Whether the caller may do something on all channels, or on all that patterns stand for.</summary>
    public static bool May(Caller caller, IEnumerable<string> channels, Capability wanted) =>
        channels.All(c => caller.Capabilities.Allows(c, wanted));

    /// <summary>
    /// Whether the caller may hear a channel. Asked for what is left of channels that were the subscription's once: a key need not be good for
    /// these to be good for the subscription as it is.
    /// </summary>
    public static bool MayHear(Caller caller, string channel) => caller.Capabilities.Allows(channel, Capability.Subscribe);

    /// <summary>Refuses what the caller may not do on all channels.</summary>
    public static void CheckMay(Caller caller, IEnumerable<string> channels, Capability wanted)
    {
        if (!May(caller, channels, wanted))
            throw new GridProblemException(new(ErrorCode.Forbidden, $"The API key does not have '{CapabilityNames.ToNames(wanted)[0]}' on every channel of the subscription."));
    }

    /// <summary>Refuses a start in the past that the caller, or a namespace, does not allow.</summary>
    public void CheckPast(Caller caller, IReadOnlyCollection<string> channels)
    {
        CheckMay(caller, channels, Capability.History);
        rules.CheckHistory(channels);
    }

    /// <summary>
    /// Refuses a place to start from that the caller may not choose: one in the past without <c>history</c>, or one in a channel that is not
    /// the subscription's; and one that is none.
    /// </summary>
    public async ValueTask CheckStartAsync(Caller caller, string id, WebhookStart start)
    {
        if (start.Named is not null) return;
        var channels = (await GetAsync(caller, id)).Definition.Channels;
        foreach (var channel in start.Positions?.Keys ?? Enumerable.Empty<string>())
        {
            if (!Array.Exists(channels, c => ChannelPatterns.Match(c, channel)))
                throw BodyJson.Bad($"'positions' names '{channel}', which is not among the subscription's channels.");
        }

        CheckPast(caller, start.Positions?.Keys ?? (IReadOnlyCollection<string>)channels);
        if (start.Positions is { } positions) await CheckPlacesAsync(caller.Tenant, positions);
    }

    /// <summary>
    /// Refuses places after a channel's head: what will be published up to there would be passed over, and nobody told. Places of an epoch
    /// that ended are good, since what they lost is recorded.
    /// </summary>
    private async ValueTask CheckPlacesAsync(string tenant, Dictionary<string, Position> positions)
    {
        var heads = await reader.GetHeadsAsync([.. positions.Keys.Select(c => new ChannelId(tenant, c))]);
        foreach (var ((channel, position), head) in positions.Zip(heads))
        {
            if (head.Epoch == position.Epoch && position.Offset > head.Head)
                throw new GridProblemException(new(ErrorCode.InvalidPosition, $"'positions.{channel}' is after the channel's head."));
        }
    }

    /// <summary>
    /// Refuses to send a message that the subscription never sent, unless the caller may read the past: an id is made of a message's place
    /// alone, so who knows one can write those of the channel's whole past.
    /// </summary>
    public async ValueTask CheckResendAsync(Caller caller, IWebhookGrain grain, string messageId)
    {
        if (!WebhookMessageId.TryParse(messageId, out var channel, out _)) return;
        if (caller.Capabilities.Allows(channel, Capability.History) && rules.AllowsHistory(channel)) return;
        if (await grain.ListAttemptsAsync(new WebhookAttemptQuery { MessageId = messageId, Limit = 1 }) is { Attempts: [] }) CheckPast(caller, [channel]);
    }

    /// <summary>Why a grain said no: there is no such subscription, or it is not in a state for this.</summary>
    /// <param name="grain">The grain.</param>
    /// <param name="conflict">What is in the way when the subscription exists.</param>
    public static async ValueTask<GridProblem> RefusalAsync(IWebhookGrain grain, string conflict) =>
        await grain.GetAsync() is null ? None() : new GridProblem(ErrorCode.Conflict, conflict);

    private static bool IsVisitor(Caller caller) => caller.Tenant == TenancyBootstrap.PlaygroundTenant;

    /// <summary>There is no such subscription.</summary>
    public static GridProblem None() => NotFound("There is no such webhook.");

    /// <summary>There is no such thing.</summary>
    public static GridProblem NotFound(string detail) => new(ErrorCode.BadFrame, detail, StatusCodes.Status404NotFound);
}

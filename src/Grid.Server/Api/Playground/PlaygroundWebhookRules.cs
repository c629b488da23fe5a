using Grid.Abstractions;
using Grid.Server.Hosting;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Network;

namespace Grid.Server.Api;

/// <summary>
/// What a visitor of the playground may set of a webhook: one channel of one room, to the host's sample receiver. Who else may be sent to is not
/// a question here, since the sender asks nothing of this: whatever the tenant <c>playground</c> has, goes to the receiver
/// (<see cref="OwnReceiver"/>).
/// </summary>
internal sealed class PlaygroundWebhookRules(NetworkRules network, NamespacePolicies policies, OwnReceiver receiver)
    : WebhookRules(network, policies)
{
    /// <summary>The channels of which visitors make webhooks, one for each room.</summary>
    public const string Channels = "hook:*";

    /// <summary>The most webhooks on a channel: each message is sent that often.</summary>
    public const int MaxOnChannel = 5;

    /// <summary>The most webhooks of all visitors.</summary>
    public const int MaxInAll = 100;

    /// <inheritdoc/>
    public override WebhookDefinition Check(WebhookDefinition set, WebhookDefinition? before)
    {
        var made = base.Check(set, before);
        if (made.Url is null) throw BodyJson.Bad("In the playground webhooks are sent, not polled.");
        if (made.Channels is not [{ } channel] || channel.EndsWith('*') || !ChannelPatterns.Match(Channels, channel))
            throw BodyJson.Bad("In the playground a webhook has one channel, hook:room.");
        if (before is not null && !before.Channels.SequenceEqual(made.Channels)) throw BodyJson.Bad("In the playground 'channels' stays as it is.");
        if (made.Headers.Count > 0 || made.Handshake) throw BodyJson.Bad("In the playground there are no headers and no handshake.");
        return made;
    }

    /// <inheritdoc/>
    protected override string ParseUrl(string url) =>
        Uri.TryCreate(url, UriKind.Absolute, out var uri) && receiver.Redirect(uri) is { } own && own.AbsoluteUri == url
            ? url
            : throw BodyJson.Bad("In the playground webhooks go to its sample receiver; PUT /playground/receiver/{name} tells its URL.");
}

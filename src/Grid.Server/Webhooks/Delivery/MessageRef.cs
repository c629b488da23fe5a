using Grid.Protocol;
using Grid.Server.Webhooks.Signing;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>Names a message of a tenant.</summary>
/// <param name="Channel">The channel's name.</param>
/// <param name="Epoch">The epoch of the offset.</param>
/// <param name="Offset">Its place in the channel.</param>
internal readonly record struct MessageRef(string Channel, string Epoch, long Offset)
{
    /// <summary>Its place.</summary>
    public Position Position => new(Epoch, Offset);

    /// <summary>
    /// The <c>webhook-id</c> of the message: the same for every attempt, every subscription and after every crash, since it is made of
    /// nothing but what names the message (<see cref="WebhookMessageId"/>).
    /// </summary>
    public string ToId() => WebhookMessageId.For(Channel, Position);

    /// <summary>Whether an id is that of this message, and reads as it.</summary>
    public bool Has(string id) => Offset > 0 && Epoch.Length is > 0 and <= Position.MaxEpochLength && WebhookMessageId.IsFor(id, Channel, Position);

    /// <summary>Reads the form of <see cref="ToId"/>, so that a message is found by its id without an index.</summary>
    public static bool TryParseId(string id, out MessageRef message)
    {
        message = default;
        if (!WebhookMessageId.TryParse(id, out var channel, out var position)) return false;
        message = new MessageRef(channel, position.Epoch, position.Offset);
        return position is { Offset: > 0, Epoch.Length: > 0 and <= Position.MaxEpochLength };
    }
}

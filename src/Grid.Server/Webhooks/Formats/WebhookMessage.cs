using System.Globalization;
using Grid.Protocol;
using Grid.Server.Webhooks.Signing;

namespace Grid.Server.Webhooks.Formats;

/// <summary>
/// A message to deliver, with its place. Nothing in it belongs to a subscription, so what a format makes of it serves every
/// subscription of that format and every attempt.
/// </summary>
/// <param name="Id">Its <c>webhook-id</c>.</param>
/// <param name="Channel">Its channel.</param>
/// <param name="Epoch">The channel's epoch; empty for what has no place in a channel.</param>
/// <param name="Message">What the channel stored. Offset 0 for what has no place, such as a test event.</param>
internal readonly record struct WebhookMessage(string Id, string Channel, string Epoch, Message Message)
{
    /// <summary>
    /// The <c>type</c> of a message whose publisher named no event. The prefix keeps it apart from the names that publishers choose.
    /// </summary>
    public const string DefaultType = "grid.message";

    /// <summary>The kind of event: the publisher's name for it, or <see cref="DefaultType"/>.</summary>
    public string Type => Message.Event ?? DefaultType;

    /// <summary>
    /// When the channel accepted it, by RFC 3339 in UTC with milliseconds; the same in every attempt, unlike <c>webhook-timestamp</c>.
    /// </summary>
    public string Time
    {
        get
        {
            // The round-trip form has seven digits of the second. A form of one's own costs ten times as much.
            Span<char> text = stackalloc char[28];
            DateTimeOffset.FromUnixTimeMilliseconds(Message.At).UtcDateTime.TryFormat(text, out _, "O", CultureInfo.InvariantCulture);
            return string.Concat(text[..23], "Z");
        }
    }

    /// <summary>A channel's message, with the id that follows from its place.</summary>
    public static WebhookMessage At(string channel, string epoch, Message message) =>
        new(WebhookMessageId.For(channel, new Position(epoch, message.Offset)), channel, epoch, message);
}

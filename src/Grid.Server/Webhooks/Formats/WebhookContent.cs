namespace Grid.Server.Webhooks.Formats;

/// <summary>What a format makes of a message: the part of a delivery that is the same for every subscription and attempt.</summary>
/// <param name="Body">The body, byte for byte as it is signed and sent. May share memory with the message.</param>
/// <param name="ContentType">The value of <c>Content-Type</c>.</param>
/// <param name="Headers">The format's own headers; names in lower case, values in printable ASCII.</param>
internal sealed record WebhookContent(
    ReadOnlyMemory<byte> Body, string ContentType, IReadOnlyList<KeyValuePair<string, string>> Headers);

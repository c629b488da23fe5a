using System.Globalization;
using System.Text.Json;
using Grid.Abstractions;

namespace Grid.Server.Api;

/// <summary>
/// The body of a publish: one message or an array of them. Payloads are copied out of the body exactly as they came; a
/// null in an optional member counts as left out. Whatever is
/// wrong with any message refuses the whole request, so nothing of it is published.
/// </summary>
internal sealed record PublishBody(MessageDraft[] Drafts, bool IsArray)
{
    /// <summary>The most messages of one request.</summary>
    public const int MaxMessages = 1000;

    /// <summary>Reads a body.</summary>
    /// <param name="utf8">The body.</param>
    /// <param name="maxMessageBytes">The namespace's largest payload.</param>
    /// <param name="idempotencyKey">
    /// The header <c>Idempotency-Key</c>: the key of a single message; in an array, messages without a key of their own get
    /// <c>header#index</c>, so that the same request repeated repeats none of them.
    /// </param>
    /// <exception cref="GridProblemException">The body is not valid.</exception>
    public static PublishBody Parse(ReadOnlySpan<byte> utf8, int maxMessageBytes, string? idempotencyKey)
    {
        var isArray = utf8.TrimStart(" \t\r\n"u8) is [(byte)'[', ..];
        var bytes = utf8;
        var drafts = new List<MessageDraft>(1);
        var reader = BodyJson.Reader(utf8, isArray ? 2 : 1);
        try
        {
            if (!reader.Read()) throw BodyJson.Bad("The body is empty.");
            if (isArray)
            {
                while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
                {
                    if (drafts.Count == MaxMessages)
                        throw new GridProblemException(new(ErrorCode.TooLarge, $"At most {MaxMessages} messages fit one request."));
                    drafts.Add(ReadDraft(ref reader, bytes, maxMessageBytes, drafts.Count, idempotencyKey));
                }

                if (drafts.Count == 0) throw BodyJson.Bad("The array is empty.");
            }
            else
            {
                drafts.Add(ReadDraft(ref reader, bytes, maxMessageBytes, null, idempotencyKey));
            }

            if (reader.Read()) throw BodyJson.Bad("The body has something after its JSON value.");
        }
        catch (JsonException e)
        {
            throw BodyJson.Bad(BodyJson.Describe(e));
        }

        return new PublishBody([.. drafts], isArray);
    }

    private static MessageDraft ReadDraft(
        ref Utf8JsonReader reader, ReadOnlySpan<byte> body, int maxMessageBytes, int? index, string? idempotencyKey)
    {
        var at = index is { } i ? string.Create(CultureInfo.InvariantCulture, $"Message {i}: ") : "";
        if (reader.TokenType != JsonTokenType.StartObject) throw BodyJson.Bad(at + "a message must be a JSON object.");
        byte[]? data = null, data64 = null;
        string? key = null, eventName = null;
        long? ifOffset = null;
        var seen = 0;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("data"u8))
            {
                BodyJson.Once(ref seen, 1, at + "data");
                reader.Read();
                var start = (int)reader.TokenStartIndex;
                reader.Skip();
                data = Bounded(body[start..(int)reader.BytesConsumed], maxMessageBytes, at).ToArray();
            }
            else if (reader.ValueTextEquals("data64"u8))
            {
                BodyJson.Once(ref seen, 2, at + "data64");
                reader.Read();
                if (reader.TokenType == JsonTokenType.Null) continue;
                if (reader.TokenType != JsonTokenType.String || !reader.TryGetBytesFromBase64(out data64))
                    throw BodyJson.Bad(at + "'data64' must be a string in base64.");
                Bounded(data64, maxMessageBytes, at);
            }
            else if (reader.ValueTextEquals("key"u8))
            {
                BodyJson.Once(ref seen, 4, at + "key");
                reader.Read();
                key = BodyJson.TextOrNull(ref reader, at + "key");
            }
            else if (reader.ValueTextEquals("event"u8))
            {
                BodyJson.Once(ref seen, 8, at + "event");
                reader.Read();
                eventName = BodyJson.TextOrNull(ref reader, at + "event");
            }
            else if (reader.ValueTextEquals("ifOffset"u8))
            {
                BodyJson.Once(ref seen, 16, at + "ifOffset");
                reader.Read();
                ifOffset = BodyJson.WholeOrNull(ref reader, at + "ifOffset");
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }

        if (data is null == data64 is null) throw BodyJson.Bad(at + "a message has exactly one of 'data' and 'data64'.");
        if (index is null && key is not null && idempotencyKey is not null && key != idempotencyKey)
            throw BodyJson.Bad("'key' and the header Idempotency-Key differ.");
        key ??= index is null || idempotencyKey is null ? idempotencyKey : string.Create(CultureInfo.InvariantCulture, $"{idempotencyKey}#{index}");
        if (key is not null && !Message.IsValidKey(key))
            throw BodyJson.Bad($"{at}a key has 1 to {Message.MaxKeyBytes} bytes and no control characters.");
        if (eventName is not null && !Message.IsValidEvent(eventName))
            throw BodyJson.Bad($"{at}'event' has 1 to {Message.MaxEventLength} characters and no control characters.");
        return new MessageDraft { Data = data ?? data64, IsBinary = data is null, Key = key, Event = eventName, IfOffset = ifOffset };
    }

    private static ReadOnlySpan<byte> Bounded(ReadOnlySpan<byte> payload, int maxMessageBytes, string at) =>
        payload.Length <= maxMessageBytes
            ? payload
            : throw new GridProblemException(new(ErrorCode.TooLarge, $"{at}the payload is larger than the {maxMessageBytes} bytes that the namespace allows."));
}

using System.Text.Json;

namespace Grid.Server.Api;

/// <summary>Writes a stored message as history and Server-Sent Events show it.</summary>
internal static class MessageJson
{
    /// <summary>Writes one message as an object; its JSON payload goes out byte for byte as it came in.</summary>
    public static void Write(Utf8JsonWriter json, Message message)
    {
        json.WriteStartObject();
        json.WriteNumber("offset", message.Offset);
        json.WriteNumber("at", message.At);
        if (message.Payload.IsBinary)
        {
            json.WriteBase64String("data64", message.Payload.Bytes.Span);
        }
        else
        {
            json.WritePropertyName("data");
            json.WriteRawValue(message.Payload.Bytes.Span, skipInputValidation: true);
        }

        if (message.Key is { } key) json.WriteString("key", key);
        if (message.Event is { } eventName) json.WriteString("event", eventName);
        if (message.From is { } from) json.WriteString("from", from);
        json.WriteEndObject();
    }
}

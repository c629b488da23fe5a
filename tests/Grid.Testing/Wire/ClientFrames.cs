using System.Buffers;
using System.Text;
using System.Text.Json;

namespace Grid.Testing.Wire;

/// <summary>What a client asks to resume.</summary>
/// <param name="Session">The session.</param>
/// <param name="Token">Its resume token.</param>
/// <param name="Cursors">The client's own cursors; null to rely on the server's.</param>
public sealed record RawResume(string Session, string Token, IReadOnlyDictionary<string, RawPosition>? Cursors = null);

/// <summary>The frames a client sends, written by the contract's examples and nothing else.</summary>
public static class ClientFrames
{
    /// <summary>A <c>hello</c>.</summary>
    public static string Hello(string? token = null, string? client = null, RawResume? resume = null) => Write(w =>
    {
        w.WriteString("type", "hello");
        if (token is not null) w.WriteString("token", token);
        if (client is not null) w.WriteString("client", client);
        if (resume is null) return;
        w.WriteStartObject("resume");
        w.WriteString("session", resume.Session);
        w.WriteString("token", resume.Token);
        if (resume.Cursors is not null)
        {
            w.WriteStartObject("cursors");
            foreach (var (channel, position) in resume.Cursors)
            {
                w.WriteStartObject(channel);
                w.WriteString("epoch", position.Epoch);
                w.WriteNumber("offset", position.Offset);
                w.WriteEndObject();
            }

            w.WriteEndObject();
        }

        w.WriteEndObject();
    });

    /// <summary>A <c>subscribe</c>.</summary>
    /// <param name="id">The request's number.</param>
    /// <param name="channel">The channel.</param>
    /// <param name="from">The JSON of <c>from</c> (see <see cref="At"/> and <see cref="Last"/>), or null to leave it out.</param>
    public static string Subscribe(long id, string channel, string? from = null) => Write(w =>
    {
        w.WriteString("type", "subscribe");
        w.WriteNumber("id", id);
        w.WriteString("channel", channel);
        if (from is null) return;
        w.WritePropertyName("from");
        w.WriteRawValue(from);
    });

    /// <summary>The <c>from</c> of a position.</summary>
    public static string At(RawPosition position) => Write(w =>
    {
        w.WriteString("epoch", position.Epoch);
        w.WriteNumber("offset", position.Offset);
    });

    /// <summary>The <c>from</c> of the last messages.</summary>
    public static string Last(long count) => Write(w => w.WriteNumber("last", count));

    /// <summary>The <c>from</c> of the beginning.</summary>
    public const string Start = "\"start\"";

    /// <summary>The <c>from</c> of the head.</summary>
    public const string Now = "\"now\"";

    /// <summary>An <c>unsubscribe</c>.</summary>
    public static string Unsubscribe(long id, string channel) => Write(w =>
    {
        w.WriteString("type", "unsubscribe");
        w.WriteNumber("id", id);
        w.WriteString("channel", channel);
    });

    /// <summary>A <c>publish</c>.</summary>
    /// <param name="id">The request's number, or null for a publish without an answer.</param>
    /// <param name="channel">The channel.</param>
    /// <param name="payload">The JSON of <c>data</c>, or <c>base64:…</c> for <c>data64</c>.</param>
    /// <param name="key">The idempotency key, if any.</param>
    /// <param name="eventName">The event's name, if any.</param>
    /// <param name="ifOffset">The head to insist on, if any.</param>
    public static string Publish(
        long? id, string channel, string payload, string? key = null, string? eventName = null, long? ifOffset = null) => Write(w =>
    {
        w.WriteString("type", "publish");
        if (id is { } number) w.WriteNumber("id", number);
        w.WriteString("channel", channel);
        if (payload.StartsWith("base64:", StringComparison.Ordinal))
        {
            w.WriteString("data64", payload["base64:".Length..]);
        }
        else
        {
            w.WritePropertyName("data");
            w.WriteRawValue(payload);
        }

        if (key is not null) w.WriteString("key", key);
        if (eventName is not null) w.WriteString("event", eventName);
        if (ifOffset is { } offset) w.WriteNumber("ifOffset", offset);
    });

    /// <summary>An <c>ack</c>.</summary>
    public static string Ack(params IEnumerable<KeyValuePair<string, long>> cursors) => Write(w =>
    {
        w.WriteString("type", "ack");
        w.WriteStartObject("cursors");
        foreach (var (channel, offset) in cursors) w.WriteNumber(channel, offset);
        w.WriteEndObject();
    });

    /// <summary>An <c>auth</c>.</summary>
    public static string Auth(long id, string token) => Write(w =>
    {
        w.WriteString("type", "auth");
        w.WriteNumber("id", id);
        w.WriteString("token", token);
    });

    /// <summary>A <c>ping</c>.</summary>
    public const string Ping = """{"type":"ping"}""";

    private static string Write(Action<Utf8JsonWriter> fields)
    {
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            fields(writer);
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }
}

using System.Buffers;
using System.Text;
using System.Text.Json;
using Google.Protobuf;
using Grid.V1;

namespace Grid.Testing.Wire;

/// <summary>
/// Frames of <c>grid.v1.proto</c> by way of Google's classes: from the JSON that tests write, and to the JSON that they read. So one
/// test says the same in both forms, and shares nothing with the server's codec.
/// </summary>
public static class ProtoFrames
{
    /// <summary>A field that no frame has, for members that no frame has.</summary>
    private const int UnknownField = 1000;

    /// <summary>The bytes of a client's frame that is given as JSON.</summary>
    public static byte[] FromJson(string text)
    {
        using var document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 100_000 });
        var json = document.RootElement;
        var frame = new ClientFrame();
        if (Find(json, "id") is { } id) frame.Id = id.GetUInt64();
        switch (json.GetProperty("type").GetString())
        {
            case "hello":
                frame.Hello = Hello(json);
                break;
            case "auth":
                frame.Auth = new Auth { Token = Text(json, "token") ?? "" };
                break;
            case "subscribe":
                frame.Subscribe = Subscribe(json);
                break;
            case "unsubscribe":
                frame.Unsubscribe = new Unsubscribe { Channel = Text(json, "channel") };
                break;
            case "publish":
                frame.Publish = Publish(json);
                break;
            case "ack":
                frame.Ack = new Ack();
                foreach (var cursor in json.GetProperty("cursors").EnumerateObject()) frame.Ack.Cursors.Add(cursor.Name, cursor.Value.GetUInt64());
                break;
            case "ping":
                frame.Ping = new Ping();
                break;
            case var type:
                throw new NotSupportedException($"No binary form for a frame of type {type}.");
        }

        return [.. frame.ToByteArray(), .. Unknown(json)];
    }

    /// <summary>The JSON of a server's frame.</summary>
    public static string ToJson(ReadOnlySpan<byte> bytes)
    {
        var frame = ServerFrame.Parser.ParseFrom(bytes);
        var buffer = new ArrayBufferWriter<byte>(bytes.Length + 256);
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartObject();
            Write(writer, frame);
            writer.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static Hello Hello(JsonElement json)
    {
        var hello = new Hello();
        if (Text(json, "token") is { } token) hello.Token = token;
        if (Text(json, "client") is { } client) hello.Client = client;
        if (Find(json, "resume") is not { } resume) return hello;
        hello.Resume = new Resume { Session = Text(resume, "session"), Token = Text(resume, "token") };
        if (Find(resume, "cursors") is not { } cursors) return hello;
        foreach (var cursor in cursors.EnumerateObject()) hello.Resume.Cursors.Add(cursor.Name, Place(cursor.Value));
        return hello;
    }

    private static Subscribe Subscribe(JsonElement json)
    {
        var subscribe = new Subscribe { Channel = Text(json, "channel") };
        if (Find(json, "from") is not { } from) return subscribe;
        if (from.ValueKind == JsonValueKind.String)
        {
            subscribe.Anchor = from.GetString() == "start" ? V1.Subscribe.Types.Anchor.Start : V1.Subscribe.Types.Anchor.Now;
        }
        else if (Find(from, "last") is { } last)
        {
            subscribe.Last = last.GetUInt32();
        }
        else
        {
            subscribe.Position = Place(from);
        }

        return subscribe;
    }

    private static Publish Publish(JsonElement json)
    {
        var publish = new Publish { Channel = Text(json, "channel") };
        if (Find(json, "data") is { } data) publish.Json = ByteString.CopyFromUtf8(data.GetRawText());
        if (Find(json, "data64") is { } bytes) publish.Binary = ByteString.FromBase64(bytes.GetString());
        if (Text(json, "key") is { } key) publish.Key = key;
        if (Text(json, "event") is { } name) publish.Event = name;
        if (Find(json, "ifOffset") is { } offset) publish.IfOffset = offset.GetUInt64();
        return publish;
    }

    private static Position Place(JsonElement json) => new() { Epoch = Text(json, "epoch"), Offset = json.GetProperty("offset").GetUInt64() };

    /// <summary>Members that the contract does not know become a field that it does not know.</summary>
    private static byte[] Unknown(JsonElement json)
    {
        string[] known = ["type", "id", "token", "client", "resume", "channel", "from", "data", "data64", "key", "event", "ifOffset", "cursors"];
        using var stream = new MemoryStream();
        using (var output = new CodedOutputStream(stream, leaveOpen: true))
        {
            foreach (var member in json.EnumerateObject().Where(m => !known.Contains(m.Name)))
            {
                output.WriteTag(UnknownField, WireFormat.WireType.LengthDelimited);
                output.WriteString(member.Value.GetRawText());
            }
        }

        return stream.ToArray();
    }

    private static void Write(Utf8JsonWriter writer, ServerFrame frame)
    {
        // The names of the contract's types are those of the fields.
        writer.WriteString("type", frame.FrameCase.ToString().ToLowerInvariant());
        if (frame.HasId) writer.WriteNumber("id", frame.Id);
        switch (frame.FrameCase)
        {
            case ServerFrame.FrameOneofCase.Welcome:
                Write(writer, frame.Welcome);
                break;
            case ServerFrame.FrameOneofCase.Authorized:
                writer.WriteString("expiresAt", DateTimeOffset.FromUnixTimeMilliseconds((long)frame.Authorized.ExpiresAt).UtcDateTime);
                break;
            case ServerFrame.FrameOneofCase.Subscribed:
                Place(writer, frame.Subscribed.Channel, frame.Subscribed.Epoch);
                writer.WriteNumber("head", frame.Subscribed.Head);
                writer.WriteNumber("cursor", frame.Subscribed.Cursor);
                break;
            case ServerFrame.FrameOneofCase.Unsubscribed:
                writer.WriteString("channel", frame.Unsubscribed.Channel);
                break;
            case ServerFrame.FrameOneofCase.Published:
                Place(writer, frame.Published.Channel, frame.Published.Epoch);
                writer.WriteNumber("offset", frame.Published.Offset);
                writer.WriteBoolean("duplicate", frame.Published.Duplicate);
                break;
            case ServerFrame.FrameOneofCase.Message:
                Write(writer, frame.Message);
                break;
            case ServerFrame.FrameOneofCase.Gap:
                Place(writer, frame.Gap.Channel, frame.Gap.Epoch);
                writer.WriteNumber("from", frame.Gap.From);
                writer.WriteNumber("to", frame.Gap.To);
                writer.WriteString("reason", frame.Gap.Reason.ToString().ToLowerInvariant());
                break;
            case ServerFrame.FrameOneofCase.Error:
                writer.WriteString("code", JsonNamingPolicy.SnakeCaseLower.ConvertName(frame.Error.Code.ToString()));
                writer.WriteString("message", frame.Error.Message);
                if (frame.Error.HasRetryAfterMs) writer.WriteNumber("retryAfterMs", frame.Error.RetryAfterMs);
                break;
            case ServerFrame.FrameOneofCase.Goaway:
                writer.WriteString("reason", frame.Goaway.Reason);
                writer.WriteNumber("reconnectInMs", frame.Goaway.ReconnectInMs);
                break;
            case ServerFrame.FrameOneofCase.Pong:
                break;
            default:
                throw new TestFailedException($"A frame without content: {frame}");
        }
    }

    private static void Write(Utf8JsonWriter writer, Welcome welcome)
    {
        writer.WriteString("session", welcome.Session);
        writer.WriteString("resumeToken", welcome.ResumeToken);
        writer.WriteString("state", welcome.State.ToString().ToLowerInvariant());
        writer.WriteNumber("resumeWindowMs", welcome.ResumeWindowMs);
        writer.WriteNumber("heartbeatMs", welcome.HeartbeatMs);
        writer.WriteNumber("maxFrameBytes", welcome.MaxFrameBytes);
        writer.WriteStartArray("subscriptions");
        foreach (var subscription in welcome.Subscriptions)
        {
            writer.WriteStartObject();
            Place(writer, subscription.Channel, subscription.Epoch);
            writer.WriteNumber("head", subscription.Head);
            writer.WriteNumber("cursor", subscription.Cursor);
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    }

    private static void Write(Utf8JsonWriter writer, Message message)
    {
        writer.WriteString("channel", message.Channel);
        writer.WriteNumber("offset", message.Offset);
        writer.WriteNumber("at", message.At);
        if (message.PayloadCase == Message.PayloadOneofCase.Json)
        {
            writer.WritePropertyName("data");
            writer.WriteRawValue(message.Json.Span);
        }
        else if (message.PayloadCase == Message.PayloadOneofCase.Binary)
        {
            writer.WriteBase64String("data64", message.Binary.Span);
        }

        if (message.HasKey) writer.WriteString("key", message.Key);
        if (message.HasEvent) writer.WriteString("event", message.Event);
        if (message.HasFrom) writer.WriteString("from", message.From);
    }

    private static void Place(Utf8JsonWriter writer, string channel, string epoch)
    {
        writer.WriteString("channel", channel);
        writer.WriteString("epoch", epoch);
    }

    private static string? Text(JsonElement json, string name) => Find(json, name)?.GetString();

    private static JsonElement? Find(JsonElement json, string name) => json.TryGetProperty(name, out var value) ? value : null;
}

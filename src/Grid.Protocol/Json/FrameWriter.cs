using System.Text.Json;

namespace Grid.Protocol.Json;

/// <summary>Writes frames as JSON; a <see cref="MessageFrame"/> has a faster way of its own, <see cref="MessageWriter"/>.</summary>
internal static class FrameWriter
{
    public static void Write(Utf8JsonWriter writer, ClientFrame frame)
    {
        writer.WriteStartObject();
        switch (frame)
        {
            case PublishFrame publish:
                writer.WriteString("type"u8, "publish"u8);
                WriteId(writer, publish.Id);
                writer.WriteString("channel"u8, publish.Channel);
                WritePayload(writer, publish.Payload);
                WriteOptional(writer, "key"u8, publish.Key);
                WriteOptional(writer, "event"u8, publish.Event);
                if (publish.IfOffset is { } ifOffset) writer.WriteNumber("ifOffset"u8, ifOffset);
                break;
            case AckFrame ack:
                writer.WriteString("type"u8, "ack"u8);
                writer.WriteStartObject("cursors"u8);
                foreach (var (channel, offset) in ack.Cursors) writer.WriteNumber(channel, offset);
                writer.WriteEndObject();
                break;
            case PingFrame:
                writer.WriteString("type"u8, "ping"u8);
                break;
            case SubscribeFrame subscribe:
                writer.WriteString("type"u8, "subscribe"u8);
                WriteId(writer, subscribe.Id);
                writer.WriteString("channel"u8, subscribe.Channel);
                // A start that was set and not announced is meant all the same.
                if (subscribe.HasFrom || subscribe.From.Kind != StartKind.Now) WriteFrom(writer, subscribe.From);
                break;
            case UnsubscribeFrame unsubscribe:
                writer.WriteString("type"u8, "unsubscribe"u8);
                WriteId(writer, unsubscribe.Id);
                writer.WriteString("channel"u8, unsubscribe.Channel);
                break;
            case HelloFrame hello:
                writer.WriteString("type"u8, "hello"u8);
                WriteOptional(writer, "token"u8, hello.Token);
                WriteOptional(writer, "client"u8, hello.Client);
                if (hello.Resume is { } resume) WriteResume(writer, resume);
                break;
            case AuthFrame auth:
                writer.WriteString("type"u8, "auth"u8);
                WriteId(writer, auth.Id);
                writer.WriteString("token"u8, auth.Token);
                break;
            default:
                throw new ArgumentException($"No form for {frame.GetType().Name}.", nameof(frame));
        }
        writer.WriteEndObject();
    }

    public static void Write(Utf8JsonWriter writer, ServerFrame frame)
    {
        writer.WriteStartObject();
        switch (frame)
        {
            case PublishedFrame published:
                writer.WriteString("type"u8, "published"u8);
                WriteId(writer, published.Id);
                writer.WriteString("channel"u8, published.Channel);
                writer.WriteString("epoch"u8, published.Epoch);
                writer.WriteNumber("offset"u8, published.Offset);
                writer.WriteBoolean("duplicate"u8, published.Duplicate);
                break;
            case PongFrame:
                writer.WriteString("type"u8, "pong"u8);
                break;
            case SubscribedFrame subscribed:
                writer.WriteString("type"u8, "subscribed"u8);
                WriteId(writer, subscribed.Id);
                writer.WriteString("channel"u8, subscribed.Channel);
                writer.WriteString("epoch"u8, subscribed.Epoch);
                writer.WriteNumber("head"u8, subscribed.Head);
                writer.WriteNumber("cursor"u8, subscribed.Cursor);
                break;
            case UnsubscribedFrame unsubscribed:
                writer.WriteString("type"u8, "unsubscribed"u8);
                WriteId(writer, unsubscribed.Id);
                writer.WriteString("channel"u8, unsubscribed.Channel);
                break;
            case GapFrame gap:
                writer.WriteString("type"u8, "gap"u8);
                writer.WriteString("channel"u8, gap.Channel);
                writer.WriteString("epoch"u8, gap.Epoch);
                writer.WriteNumber("from"u8, gap.From);
                writer.WriteNumber("to"u8, gap.To);
                writer.WriteString("reason"u8, Name(gap.Reason));
                break;
            case ErrorFrame error:
                writer.WriteString("type"u8, "error"u8);
                WriteId(writer, error.Id);
                writer.WriteString("code"u8, error.Code.Name());
                writer.WriteString("message"u8, error.Message);
                if (error.RetryAfterMs is { } retryAfter) writer.WriteNumber("retryAfterMs"u8, retryAfter);
                break;
            case GoAwayFrame goAway:
                writer.WriteString("type"u8, "goaway"u8);
                writer.WriteString("reason"u8, goAway.Reason);
                writer.WriteNumber("reconnectInMs"u8, goAway.ReconnectInMs);
                break;
            case WelcomeFrame welcome:
                WriteWelcome(writer, welcome);
                break;
            case AuthorizedFrame authorized:
                writer.WriteString("type"u8, "authorized"u8);
                WriteId(writer, authorized.Id);
                writer.WriteString("expiresAt"u8, authorized.ExpiresAt.UtcDateTime);
                break;
            default:
                throw new ArgumentException($"No form for {frame.GetType().Name}.", nameof(frame));
        }
        writer.WriteEndObject();
    }

    public static void WriteMessageItem(Utf8JsonWriter writer, Message message, string? channel)
    {
        writer.WriteStartObject();
        WriteOptional(writer, "channel"u8, channel);
        writer.WriteNumber("offset"u8, message.Offset);
        writer.WriteNumber("at"u8, message.At);
        WritePayload(writer, message.Payload);
        WriteOptional(writer, "key"u8, message.Key);
        WriteOptional(writer, "event"u8, message.Event);
        WriteOptional(writer, "from"u8, message.From);
        writer.WriteEndObject();
    }

    private static void WriteWelcome(Utf8JsonWriter writer, WelcomeFrame welcome)
    {
        writer.WriteString("type"u8, "welcome"u8);
        writer.WriteString("session"u8, welcome.Session);
        writer.WriteString("resumeToken"u8, welcome.ResumeToken);
        writer.WriteString("state"u8, welcome.State switch
        {
            WelcomeState.Resumed => "resumed"u8,
            WelcomeState.Expired => "expired"u8,
            _ => "new"u8,
        });
        writer.WriteNumber("resumeWindowMs"u8, welcome.ResumeWindowMs);
        writer.WriteNumber("heartbeatMs"u8, welcome.HeartbeatMs);
        writer.WriteNumber("maxFrameBytes"u8, welcome.MaxFrameBytes);
        writer.WriteStartArray("subscriptions"u8);
        foreach (var subscription in welcome.Subscriptions)
        {
            writer.WriteStartObject();
            writer.WriteString("channel"u8, subscription.Channel);
            writer.WriteString("epoch"u8, subscription.Epoch);
            writer.WriteNumber("head"u8, subscription.Head);
            writer.WriteNumber("cursor"u8, subscription.Cursor);
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static void WriteResume(Utf8JsonWriter writer, ResumeRequest resume)
    {
        writer.WriteStartObject("resume"u8);
        writer.WriteString("session"u8, resume.Session);
        writer.WriteString("token"u8, resume.Token);
        if (resume.Cursors.Count > 0)
        {
            writer.WriteStartObject("cursors"u8);
            foreach (var (channel, position) in resume.Cursors)
            {
                writer.WriteStartObject(channel);
                WritePosition(writer, position);
                writer.WriteEndObject();
            }
            writer.WriteEndObject();
        }
        writer.WriteEndObject();
    }

    private static void WriteFrom(Utf8JsonWriter writer, StartPoint from)
    {
        switch (from.Kind)
        {
            case StartKind.Start:
                writer.WriteString("from"u8, "start"u8);
                break;
            case StartKind.Position:
                writer.WriteStartObject("from"u8);
                WritePosition(writer, from.Position);
                writer.WriteEndObject();
                break;
            case StartKind.Last:
                writer.WriteStartObject("from"u8);
                writer.WriteNumber("last"u8, from.Count);
                writer.WriteEndObject();
                break;
            default:
                writer.WriteString("from"u8, "now"u8);
                break;
        }
    }

    private static void WritePosition(Utf8JsonWriter writer, Position position)
    {
        writer.WriteString("epoch"u8, position.Epoch);
        writer.WriteNumber("offset"u8, position.Offset);
    }

    private static void WritePayload(Utf8JsonWriter writer, Payload payload)
    {
        if (payload.IsBinary)
        {
            writer.WriteBase64String("data64"u8, payload.Bytes.Span);
            return;
        }
        writer.WritePropertyName("data"u8);
        // Checked when it came in; written as it came.
        writer.WriteRawValue(payload.Bytes.Span, skipInputValidation: true);
    }

    private static void WriteId(Utf8JsonWriter writer, long? id)
    {
        if (id is { } value) writer.WriteNumber("id"u8, value);
    }

    private static void WriteOptional(Utf8JsonWriter writer, ReadOnlySpan<byte> name, string? value)
    {
        if (value is not null) writer.WriteString(name, value);
    }

    private static ReadOnlySpan<byte> Name(GapReason reason) => reason switch
    {
        GapReason.Epoch => "epoch"u8,
        GapReason.Dropped => "dropped"u8,
        _ => "retention"u8,
    };
}

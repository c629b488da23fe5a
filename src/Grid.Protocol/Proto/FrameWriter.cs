using System.Buffers;

namespace Grid.Protocol.Proto;

/// <summary>Writes frames as <c>grid.v1.proto</c> has them: fields in the order of their numbers, defaults left out.</summary>
internal static class FrameWriter
{
    public static void Write(ClientFrame frame, IBufferWriter<byte> output)
    {
        var counter = default(ProtoWriter);
        Content(ref counter, frame);
        var field = FieldOf(frame);
        var id = (frame as ClientRequest)?.Id;

        var writer = Start(id, field, counter.Length, output);
        Content(ref writer, frame);
        output.Advance(writer.Length);
    }

    public static void Write(ServerFrame frame, IBufferWriter<byte> output)
    {
        var counter = default(ProtoWriter);
        Content(ref counter, frame);

        var writer = Start(IdOf(frame), FieldOf(frame), counter.Length, output);
        Content(ref writer, frame);
        output.Advance(writer.Length);
    }

    public static void WriteMessage(string channel, Message message, IBufferWriter<byte> output)
    {
        var counter = default(ProtoWriter);
        MessageContent(ref counter, channel, message);

        var writer = Start(null, ServerField.Message, counter.Length, output);
        MessageContent(ref writer, channel, message);
        output.Advance(writer.Length);
    }

    /// <summary>Gets the room for a whole frame, and writes what stands in front of its content.</summary>
    private static ProtoWriter Start(long? id, int field, int length, IBufferWriter<byte> output)
    {
        var counter = default(ProtoWriter);
        counter.Optional(ClientField.Id, id);
        counter.Head(field, length);
        var writer = new ProtoWriter(output.GetSpan(counter.Length + length));
        writer.Optional(ClientField.Id, id);
        writer.Head(field, length);
        return writer;
    }

    private static int FieldOf(ClientFrame frame) => frame switch
    {
        PublishFrame => ClientField.Publish,
        AckFrame => ClientField.Ack,
        PingFrame => ClientField.Ping,
        SubscribeFrame => ClientField.Subscribe,
        UnsubscribeFrame => ClientField.Unsubscribe,
        HelloFrame => ClientField.Hello,
        AuthFrame => ClientField.Auth,
        _ => throw new ArgumentException($"No form for {frame.GetType().Name}.", nameof(frame)),
    };

    private static void Content(ref ProtoWriter writer, ClientFrame frame)
    {
        switch (frame)
        {
            case PublishFrame publish:
                writer.Text(1, publish.Channel);
                writer.Bytes(publish.Payload.IsBinary ? 3 : 2, publish.Payload.Bytes.Span);
                writer.Optional(4, publish.Key);
                writer.Optional(5, publish.Event);
                writer.Optional(6, publish.IfOffset);
                break;
            case AckFrame ack:
                foreach (var (channel, offset) in ack.Cursors)
                {
                    var counter = default(ProtoWriter);
                    Cursor(ref counter, channel, offset);
                    writer.Head(1, counter.Length);
                    Cursor(ref writer, channel, offset);
                }
                break;
            case SubscribeFrame subscribe:
                writer.Text(1, subscribe.Channel);
                // A start that was set and not announced is meant all the same.
                if (subscribe.HasFrom || subscribe.From.Kind != StartKind.Now) From(ref writer, subscribe.From);
                break;
            case UnsubscribeFrame unsubscribe:
                writer.Text(1, unsubscribe.Channel);
                break;
            case HelloFrame hello:
                writer.Optional(1, hello.Token);
                writer.Optional(2, hello.Client);
                if (hello.Resume is not { } resume) break;
                var resumed = default(ProtoWriter);
                Resume(ref resumed, resume);
                writer.Head(3, resumed.Length);
                Resume(ref writer, resume);
                break;
            case AuthFrame auth:
                // A reader wants it to be there, even if it says nothing.
                writer.Optional(1, auth.Token);
                break;
        }
    }

    private static void Cursor(ref ProtoWriter writer, string channel, long offset)
    {
        writer.Text(1, channel);
        writer.Number(2, offset);
    }

    private static void From(ref ProtoWriter writer, StartPoint from)
    {
        const int Now = 1, Oldest = 2;
        switch (from.Kind)
        {
            case StartKind.Position:
                Place(ref writer, 3, from.Position);
                break;
            case StartKind.Last:
                writer.Optional(4, from.Count);
                break;
            default:
                writer.Optional(2, from.Kind == StartKind.Start ? Oldest : Now);
                break;
        }
    }

    private static void Resume(ref ProtoWriter writer, ResumeRequest resume)
    {
        writer.Optional(1, resume.Session);
        writer.Optional(2, resume.Token);
        foreach (var (channel, position) in resume.Cursors)
        {
            var counter = default(ProtoWriter);
            counter.Text(1, channel);
            Place(ref counter, 2, position);
            writer.Head(3, counter.Length);
            writer.Text(1, channel);
            Place(ref writer, 2, position);
        }
    }

    private static void Place(ref ProtoWriter writer, int field, Position position)
    {
        var counter = default(ProtoWriter);
        counter.Text(1, position.Epoch);
        counter.Number(2, position.Offset);
        writer.Head(field, counter.Length);
        writer.Text(1, position.Epoch);
        writer.Number(2, position.Offset);
    }

    private static int FieldOf(ServerFrame frame) => frame switch
    {
        MessageFrame => ServerField.Message,
        PublishedFrame => ServerField.Published,
        PongFrame => ServerField.Pong,
        SubscribedFrame => ServerField.Subscribed,
        UnsubscribedFrame => ServerField.Unsubscribed,
        GapFrame => ServerField.Gap,
        ErrorFrame => ServerField.Error,
        GoAwayFrame => ServerField.GoAway,
        WelcomeFrame => ServerField.Welcome,
        AuthorizedFrame => ServerField.Authorized,
        _ => throw new ArgumentException($"No form for {frame.GetType().Name}.", nameof(frame)),
    };

    private static long? IdOf(ServerFrame frame) => frame switch
    {
        PublishedFrame published => published.Id,
        SubscribedFrame subscribed => subscribed.Id,
        UnsubscribedFrame unsubscribed => unsubscribed.Id,
        ErrorFrame error => error.Id,
        AuthorizedFrame authorized => authorized.Id,
        _ => null,
    };

    private static void Content(ref ProtoWriter writer, ServerFrame frame)
    {
        switch (frame)
        {
            case MessageFrame message:
                MessageContent(ref writer, message.Channel, message.Message);
                break;
            case PublishedFrame published:
                writer.Text(1, published.Channel);
                writer.Text(2, published.Epoch);
                writer.Number(3, published.Offset);
                writer.Flag(4, published.Duplicate);
                break;
            case SubscribedFrame subscribed:
                writer.Text(1, subscribed.Channel);
                writer.Text(2, subscribed.Epoch);
                writer.Number(3, subscribed.Head);
                writer.Number(4, subscribed.Cursor);
                break;
            case UnsubscribedFrame unsubscribed:
                writer.Text(1, unsubscribed.Channel);
                break;
            case GapFrame gap:
                writer.Text(1, gap.Channel);
                writer.Text(2, gap.Epoch);
                writer.Number(3, gap.From);
                writer.Number(4, gap.To);
                writer.Number(5, (int)gap.Reason + 1);
                break;
            case ErrorFrame error:
                writer.Number(1, (int)error.Code + 1);
                writer.Text(2, error.Message);
                writer.Optional(3, error.RetryAfterMs);
                break;
            case GoAwayFrame goAway:
                writer.Text(1, goAway.Reason);
                writer.Number(2, goAway.ReconnectInMs);
                break;
            case WelcomeFrame welcome:
                writer.Text(1, welcome.Session);
                writer.Text(2, welcome.ResumeToken);
                writer.Number(3, (int)welcome.State + 1);
                writer.Number(4, welcome.ResumeWindowMs);
                writer.Number(5, welcome.HeartbeatMs);
                writer.Number(6, welcome.MaxFrameBytes);
                foreach (var subscription in welcome.Subscriptions)
                {
                    var counter = default(ProtoWriter);
                    State(ref counter, subscription);
                    writer.Head(7, counter.Length);
                    State(ref writer, subscription);
                }
                break;
            case AuthorizedFrame authorized:
                writer.Number(1, authorized.ExpiresAt.ToUnixTimeMilliseconds());
                break;
        }
    }

    private static void State(ref ProtoWriter writer, SubscriptionState subscription)
    {
        writer.Text(1, subscription.Channel);
        writer.Text(2, subscription.Epoch);
        writer.Number(3, subscription.Head);
        writer.Number(4, subscription.Cursor);
    }

    private static void MessageContent(ref ProtoWriter writer, string channel, Message message)
    {
        writer.Text(1, channel);
        writer.Number(2, message.Offset);
        writer.Number(3, message.At);
        writer.Bytes(message.Payload.IsBinary ? 5 : 4, message.Payload.Bytes.Span);
        writer.Optional(6, message.Key);
        writer.Optional(7, message.Event);
        writer.Optional(8, message.From);
    }
}

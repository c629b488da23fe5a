using System.Text.Json;
using System.Text.Unicode;

namespace Grid.Protocol.Json;

/// <summary>Reads the frames of clients: strictly, since what a server lets pass once it must let pass for ever.</summary>
internal static class ClientFrameReader
{
    private const string OffsetProblem = "offset must be an integer from 0 to 2^53-1";

    private static readonly string[] Types = ["publish", "ack", "ping", "subscribe", "unsubscribe", "hello", "auth"];

    public static Decoded<ClientFrame> Read(ReadOnlyMemory<byte> frame)
    {
        // The reader does not look at the bytes of strings that it passes over.
        if (!Utf8.IsValid(frame.Span)) return Decoded<ClientFrame>.None("the frame is not valid UTF-8");
        var members = new ObjectMembers(frame.Span, nullIsAbsent: false);
        try
        {
            if (!members.TryRead()) return Decoded<ClientFrame>.None("the frame is not a JSON object");
        }
        catch (JsonException)
        {
            return Decoded<ClientFrame>.None("the frame is not well-formed JSON");
        }

        if (members.Problem is { } problem) return Decoded<ClientFrame>.Bad(problem, members.Id());
        ClientFrame? result = members.Type(Types) switch
        {
            "publish" => Publish(ref members, frame),
            "ack" => new AckFrame { Cursors = AckCursors(ref members) },
            "ping" => PingFrame.Instance,
            "subscribe" => Subscribe(ref members),
            "unsubscribe" => new UnsubscribeFrame { Id = members.Id(), Channel = members.Channel() },
            "hello" => Hello(ref members),
            "auth" => new AuthFrame
            {
                Id = members.Id(),
                Token = members.RequiredText(Member.Token, ClientRules.TokenProblem, WireLimits.MaxTokenLength),
            },
            _ => null,
        };
        if (result is null) members.Fail("type is unknown");
        return members.Problem is null && result is not null
            ? Decoded<ClientFrame>.Ok(result)
            : Decoded<ClientFrame>.Bad(members.Problem ?? "", members.Id());
    }

    private static PublishFrame Publish(ref ObjectMembers members, ReadOnlyMemory<byte> frame)
    {
        var publish = new PublishFrame
        {
            Id = members.Id(),
            Channel = members.Channel(),
            Payload = members.Payload(frame),
            Key = members.Text(Member.Key, ClientRules.KeyProblem),
            Event = members.Text(Member.Event, ClientRules.EventProblem),
            IfOffset = members.Integer(Member.IfOffset, "ifOffset must be an integer from 0 to 2^53-1"),
        };
        if (publish.Key is not null && !Message.IsValidKey(publish.Key)) members.Fail(ClientRules.KeyProblem);
        if (publish.Event is not null && !Message.IsValidEvent(publish.Event)) members.Fail(ClientRules.EventProblem);
        return publish;
    }

    private static SubscribeFrame Subscribe(ref ObjectMembers members) => new()
    {
        Id = members.Id(),
        Channel = members.Channel(),
        HasFrom = members.Has(Member.From),
        From = From(ref members),
    };

    private static StartPoint From(ref ObjectMembers members)
    {
        const string Wrong = "from must be \"now\", \"start\", {\"epoch\",\"offset\"} or {\"last\":1 to 1000}";
        if (members.TypeOf(Member.From) != JsonTokenType.StartObject)
        {
            var word = members.Text(Member.From, Wrong);
            if (word is not (null or "now" or "start")) members.Fail(Wrong);
            return word == "start" ? StartPoint.Start : StartPoint.Now;
        }

        var from = StartPoint.Now;
        var point = members.ObjectAt(Member.From);
        var isPosition = point.Has(Member.Epoch) || point.Has(Member.Offset);
        if (isPosition == point.Has(Member.Last))
        {
            members.Fail(Wrong);
        }
        else if (isPosition)
        {
            from = StartPoint.After(ReadPosition(ref point));
        }
        else
        {
            var last = point.RequiredInteger(Member.Last, Wrong, ClientRules.MaxLast);
            if (last == 0) point.Fail(Wrong);
            from = StartPoint.Last((int)last);
        }
        if (point.Problem is { } problem) members.Fail(problem);
        return from;
    }

    private static Position ReadPosition(ref ObjectMembers members) =>
        new(members.Epoch(), members.RequiredInteger(Member.Offset, OffsetProblem));

    private static HelloFrame Hello(ref ObjectMembers members) => new()
    {
        Token = members.Text(Member.Token, ClientRules.TokenProblem, WireLimits.MaxTokenLength),
        Client = ClientRules.ShortenClient(members.Text(Member.Client, "client must be a string")),
        Resume = members.Has(Member.Resume) ? Resume(ref members) : null,
    };

    private static ResumeRequest? Resume(ref ObjectMembers members)
    {
        if (members.TypeOf(Member.Resume) != JsonTokenType.StartObject)
        {
            members.Fail("resume must be an object");
            return null;
        }
        var resume = members.ObjectAt(Member.Resume);
        var result = new ResumeRequest
        {
            Session = resume.RequiredText(Member.Session, "resume.session must be a string", WireLimits.MaxTokenLength),
            Token = resume.RequiredText(Member.Token, "resume.token must be a string", WireLimits.MaxTokenLength),
            Cursors = ResumeCursors(ref resume),
        };
        if (resume.Problem is { } problem) members.Fail(problem);
        return result;
    }

    private static Dictionary<string, long> AckCursors(ref ObjectMembers members)
    {
        var cursors = new Dictionary<string, long>(StringComparer.Ordinal);
        if (!TryStartCursors(ref members, out var reader)) return cursors;
        while (TryNextCursor(ref members, ref reader, cursors.Count, out var channel))
        {
            if (reader.TokenType != JsonTokenType.Number || !JsonText.TryGetInteger(reader.ValueSpan, WireLimits.MaxId, out var offset))
            {
                members.Fail("cursors must give an offset for each channel");
                break;
            }
            if (!cursors.TryAdd(channel, offset)) members.Fail("cursors names a channel twice");
        }
        return cursors;
    }

    private static Dictionary<string, Position> ResumeCursors(ref ObjectMembers members)
    {
        var cursors = new Dictionary<string, Position>(StringComparer.Ordinal);
        if (!members.Has(Member.Cursors) || !TryStartCursors(ref members, out var reader)) return cursors;
        var json = members.Raw(Member.Cursors);
        while (TryNextCursor(ref members, ref reader, cursors.Count, out var channel))
        {
            var start = (int)reader.TokenStartIndex;
            JsonText.SkipValue(ref reader, WireLimits.MaxDepth);
            var item = new ObjectMembers(json[start..(int)reader.BytesConsumed], nullIsAbsent: false);
            if (!item.TryRead())
            {
                members.Fail("cursors must give a position for each channel");
                break;
            }
            var position = ReadPosition(ref item);
            if (item.Problem is { } problem) members.Fail(problem);
            if (!cursors.TryAdd(channel, position)) members.Fail("cursors names a channel twice");
        }
        return cursors;
    }

    private static bool TryStartCursors(scoped ref ObjectMembers members, out Utf8JsonReader reader)
    {
        if (members.TypeOf(Member.Cursors) != JsonTokenType.StartObject)
        {
            members.Fail("cursors must be an object");
            reader = default;
            return false;
        }
        reader = new Utf8JsonReader(members.Raw(Member.Cursors), JsonText.AnyDepth);
        return reader.Read();
    }

    /// <summary>Moves to the value of the next cursor; false at the end, and at the first thing wrong.</summary>
    private static bool TryNextCursor(scoped ref ObjectMembers members, scoped ref Utf8JsonReader reader, int count, out string channel)
    {
        channel = "";
        if (members.Problem is not null || !reader.Read() || reader.TokenType == JsonTokenType.EndObject) return false;
        if (count == WireLimits.MaxCursors)
        {
            members.Fail("cursors names too many channels");
            return false;
        }
        var token = members.Raw(Member.Cursors).Slice((int)reader.TokenStartIndex, reader.ValueSpan.Length + 2);
        if (!JsonText.TryGetString(token, reader.ValueIsEscaped, out channel) || !ChannelName.IsValid(channel))
        {
            members.Fail("cursors must name channels");
            return false;
        }
        return reader.Read();
    }
}

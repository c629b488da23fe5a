using System.Globalization;
using System.Text.Json;
using System.Text.Unicode;

namespace Grid.Protocol.Json;

/// <summary>
/// Reads the frames of servers: leniently, since a server may be newer than its client. Members that are not known are passed
/// over, members that are null count as left out, and values that are not known become the nearest that is.
/// </summary>
internal static class ServerFrameReader
{
    private static readonly string[] Types =
    [
        "message", "published", "pong", "subscribed", "unsubscribed", "gap", "error", "goaway", "welcome", "authorized",
    ];

    public static Decoded<ServerFrame> Read(ReadOnlyMemory<byte> frame)
    {
        // The reader does not look at the bytes of strings that it passes over.
        if (!Utf8.IsValid(frame.Span)) return Decoded<ServerFrame>.None("the frame is not valid UTF-8");
        var members = new ObjectMembers(frame.Span, nullIsAbsent: true);
        try
        {
            if (!members.TryRead()) return Decoded<ServerFrame>.None("the frame is not a JSON object");
        }
        catch (JsonException)
        {
            return Decoded<ServerFrame>.None("the frame is not well-formed JSON");
        }

        if (members.Problem is { } problem) return Decoded<ServerFrame>.Bad(problem, members.Id());
        ServerFrame? result = members.Type(Types) switch
        {
            "message" => new MessageFrame(members.Channel(), ReadMessage(ref members, frame)),
            "published" => new PublishedFrame(
                members.Id(), members.Channel(), members.Epoch(), Number(ref members, Member.Offset), Flag(ref members, Member.Duplicate)),
            "pong" => PongFrame.Instance,
            "subscribed" => new SubscribedFrame(
                members.Id(), members.Channel(), members.Epoch(), Number(ref members, Member.Head), Number(ref members, Member.Cursor)),
            "unsubscribed" => new UnsubscribedFrame(members.Id(), members.Channel()),
            "gap" => new GapFrame(
                members.Channel(), members.Epoch(), Number(ref members, Member.From), Number(ref members, Member.To), Reason(ref members)),
            "error" => Error(ref members),
            "goaway" => new GoAwayFrame(
                members.Text(Member.Reason, "reason must be a string") ?? "", Number(ref members, Member.ReconnectInMs)),
            "welcome" => Welcome(ref members),
            "authorized" => new AuthorizedFrame(members.Id(), Time(ref members)),
            _ => null,
        };
        if (result is null) members.Fail("type is unknown");
        return members.Problem is null && result is not null
            ? Decoded<ServerFrame>.Ok(result)
            : Decoded<ServerFrame>.Bad(members.Problem ?? "", members.Id());
    }

    private static Message ReadMessage(ref ObjectMembers members, ReadOnlyMemory<byte> frame) => new()
    {
        Offset = Number(ref members, Member.Offset),
        At = Number(ref members, Member.At),
        Payload = members.Payload(frame),
        Key = members.Text(Member.Key, "key must be a string"),
        Event = members.Text(Member.Event, "event must be a string"),
        From = members.Text(Member.From, "from must be a string"),
    };

    private static GapReason Reason(ref ObjectMembers members) => members.RequiredText(Member.Reason, "reason must be a string") switch
    {
        "retention" => GapReason.Retention,
        "epoch" => GapReason.Epoch,
        // A gap must never be lost on a client, or it would wait for the offsets for ever; what it does about one is the same
        // for every reason.
        _ => GapReason.Dropped,
    };

    private static ErrorFrame Error(ref ObjectMembers members)
    {
        // A code that this version does not know reads as Internal; the message says more.
        var known = ErrorCodes.TryParse(members.RequiredText(Member.Code, "code must be a string"), out var code);
        return new ErrorFrame(
            members.Id(),
            known ? code : ErrorCode.Internal,
            members.Text(Member.Message, "message must be a string") ?? "",
            members.Integer(Member.RetryAfterMs, "retryAfterMs must be an integer"));
    }

    private static WelcomeFrame Welcome(ref ObjectMembers members) => new()
    {
        Session = members.RequiredText(Member.Session, "session must be a string"),
        ResumeToken = members.RequiredText(Member.ResumeToken, "resumeToken must be a string"),
        State = State(ref members),
        ResumeWindowMs = Number(ref members, Member.ResumeWindowMs),
        HeartbeatMs = Number(ref members, Member.HeartbeatMs),
        MaxFrameBytes = (int)members.RequiredInteger(Member.MaxFrameBytes, "maxFrameBytes must be an integer", int.MaxValue),
        Subscriptions = Subscriptions(ref members),
    };

    private static WelcomeState State(ref ObjectMembers members)
    {
        const string Wrong = "state must be new, resumed or expired";
        switch (members.RequiredText(Member.State, Wrong))
        {
            case "new":
                return WelcomeState.New;
            case "resumed":
                return WelcomeState.Resumed;
            case "expired":
                return WelcomeState.Expired;
            default:
                members.Fail(Wrong);
                return WelcomeState.New;
        }
    }

    private static List<SubscriptionState> Subscriptions(ref ObjectMembers members)
    {
        const string Wrong = "subscriptions must be an array of objects";
        var list = new List<SubscriptionState>();
        if (!members.Has(Member.Subscriptions)) return list;
        if (members.TypeOf(Member.Subscriptions) != JsonTokenType.StartArray)
        {
            members.Fail(Wrong);
            return list;
        }
        var json = members.Raw(Member.Subscriptions);
        var reader = new Utf8JsonReader(json, JsonText.AnyDepth);
        reader.Read();
        while (members.Problem is null && reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            var start = (int)reader.TokenStartIndex;
            JsonText.SkipValue(ref reader, WireLimits.MaxDepth);
            var item = new ObjectMembers(json[start..(int)reader.BytesConsumed], nullIsAbsent: true);
            if (!item.TryRead())
            {
                members.Fail(Wrong);
                break;
            }
            list.Add(new SubscriptionState(
                item.Channel(), item.Epoch(), Number(ref item, Member.Head), Number(ref item, Member.Cursor)));
            if (item.Problem is { } problem) members.Fail(problem);
        }
        return list;
    }

    private static long Number(ref ObjectMembers members, Member member) =>
        members.RequiredInteger(member, "a number is missing, or is no integer from 0 to 2^53-1");

    private static bool Flag(ref ObjectMembers members, Member member)
    {
        if (!members.Has(member)) return false;
        var type = members.TypeOf(member);
        if (type is not (JsonTokenType.True or JsonTokenType.False)) members.Fail("duplicate must be true or false");
        return type == JsonTokenType.True;
    }

    private static DateTimeOffset Time(ref ObjectMembers members)
    {
        const string Wrong = "expiresAt must be a time in the form of RFC 3339";
        var text = members.RequiredText(Member.ExpiresAt, Wrong);
        if (!DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time))
            members.Fail(Wrong);
        return time;
    }
}

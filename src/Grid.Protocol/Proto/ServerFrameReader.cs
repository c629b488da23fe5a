namespace Grid.Protocol.Proto;

/// <summary>
/// Reads the frames of servers: leniently, since a server may be newer than its client. Fields that are not known are passed over,
/// of those given twice the last counts, and values that are not known become the nearest that is. A JSON payload is taken
/// for JSON: the server checked it when it came in.
/// </summary>
internal static class ServerFrameReader
{
    private const string NumberProblem = "a number is no integer from 0 to 2^53-1";
    private const string TextProblem = "a field must be a string";

    /// <summary>The last moment of the year 9999, in Unix milliseconds: the latest that <see cref="DateTimeOffset"/> knows.</summary>
    private static readonly long LastMoment = DateTimeOffset.MaxValue.ToUnixTimeMilliseconds();

    public static Decoded<ServerFrame> Read(ReadOnlyMemory<byte> frame)
    {
        var envelope = new ProtoReader(frame.Span, strict: false);
        var content = default(ProtoReader);
        var kind = 0;
        long? id = null;
        while (envelope.Next())
        {
            switch (envelope.Field)
            {
                case ServerField.Id:
                    var number = envelope.Integer("id must be an integer from 0 to 2^53-1");
                    id = envelope.Problem is null ? number : null;
                    break;
                case >= ServerField.Welcome and <= ServerField.Pong:
                    kind = envelope.Field;
                    content = envelope.Message();
                    break;
            }
        }

        var result = kind == 0 || envelope.IsBroken ? null : Content(ref content, kind, id, frame);
        return envelope.Outcome(in content, kind, result, id);
    }

    private static ServerFrame? Content(ref ProtoReader content, int kind, long? id, ReadOnlyMemory<byte> frame)
    {
        switch (kind)
        {
            case ServerField.Message:
                return Message(ref content, frame);
            case ServerField.Published:
                var published = Fields(ref content);
                return new PublishedFrame(id, published.Channel, published.Epoch, published.Third, published.Fourth != 0);
            case ServerField.Subscribed:
                var subscribed = Fields(ref content);
                return new SubscribedFrame(id, subscribed.Channel, subscribed.Epoch, subscribed.Third, subscribed.Fourth);
            case ServerField.Gap:
                var gap = Fields(ref content);
                // A gap must never be lost on a client, or it would wait for the offsets for ever; what it does about one is the
                // same for every reason.
                var reason = gap.Fifth is 1 or 2 ? (GapReason)(gap.Fifth - 1) : GapReason.Dropped;
                return new GapFrame(gap.Channel, gap.Epoch, gap.Third, gap.Fourth, reason);
            case ServerField.Unsubscribed:
                return new UnsubscribedFrame(id, content.ChannelAlone());
            case ServerField.Error:
                return Error(ref content, id);
            case ServerField.GoAway:
                return GoAway(ref content);
            case ServerField.Welcome:
                return Welcome(ref content);
            case ServerField.Authorized:
                return Authorized(ref content, id);
            case ServerField.Pong:
                content.Skip();
                return PongFrame.Instance;
            default:
                return null;
        }
    }

    private static MessageFrame Message(ref ProtoReader content, ReadOnlyMemory<byte> frame)
    {
        string channel = "";
        string? key = null, name = null, from = null;
        long offset = 0, at = 0;
        Payload? payload = null;
        while (content.Next())
        {
            switch (content.Field)
            {
                case 1:
                    channel = content.Channel();
                    break;
                case 2:
                    offset = content.Integer(NumberProblem);
                    break;
                case 3:
                    at = content.Integer(NumberProblem);
                    break;
                case 4 or 5:
                    payload = content.Payload(frame, isBinary: content.Field == 5);
                    break;
                case 6:
                    key = content.Text(TextProblem);
                    break;
                case 7:
                    name = content.Text(TextProblem);
                    break;
                case 8:
                    from = content.Text(TextProblem);
                    break;
            }
        }
        content.Require(1, ProtoReader.ChannelProblem);
        if (payload is null) content.Fail(ProtoReader.PayloadProblem);
        return new MessageFrame(channel, new Message
        {
            Offset = offset, At = at, Payload = payload ?? default, Key = key, Event = name, From = from,
        });
    }

    /// <summary>
    /// The messages that tell of a place in a channel are laid out alike: channel, epoch, and up to three numbers.
    /// </summary>
    private static (string Channel, string Epoch, long Third, long Fourth, long Fifth) Fields(ref ProtoReader content)
    {
        string channel = "", epoch = "";
        long third = 0, fourth = 0, fifth = 0;
        while (content.Next())
        {
            switch (content.Field)
            {
                case 1:
                    channel = content.Channel();
                    break;
                case 2:
                    epoch = content.Text(ProtoReader.EpochProblem, Position.MaxEpochLength);
                    break;
                case 3:
                    third = content.Integer(NumberProblem);
                    break;
                case 4:
                    fourth = content.Integer(NumberProblem);
                    break;
                case 5:
                    fifth = content.Enum();
                    break;
            }
        }
        content.Require(1, ProtoReader.ChannelProblem);
        if (epoch.Length == 0) content.Fail(ProtoReader.EpochProblem);
        return (channel, epoch, third, fourth, fifth);
    }

    private static ErrorFrame Error(ref ProtoReader content, long? id)
    {
        var code = 0;
        var message = "";
        long? retryAfter = null;
        while (content.Next())
        {
            switch (content.Field)
            {
                case 1:
                    code = content.Enum();
                    break;
                case 2:
                    message = content.Text(TextProblem);
                    break;
                case 3:
                    retryAfter = content.Integer(NumberProblem);
                    break;
            }
        }
        // A code that this version does not know reads as Internal; the message says more.
        var known = code is >= 1 and <= (int)ErrorCode.Internal + 1;
        return new ErrorFrame(id, known ? (ErrorCode)(code - 1) : ErrorCode.Internal, message, retryAfter);
    }

    private static GoAwayFrame GoAway(ref ProtoReader content)
    {
        var reason = "";
        var after = 0L;
        while (content.Next())
        {
            if (content.Field == 1) reason = content.Text(TextProblem);
            else if (content.Field == 2) after = content.Integer(NumberProblem);
        }
        return new GoAwayFrame(reason, after);
    }

    private static AuthorizedFrame Authorized(ref ProtoReader content, long? id)
    {
        var expires = 0L;
        while (content.Next())
        {
            if (content.Field == 1) expires = content.Integer("expires_at must be a time in Unix milliseconds", LastMoment);
        }
        return new AuthorizedFrame(id, DateTimeOffset.FromUnixTimeMilliseconds(expires));
    }

    private static WelcomeFrame Welcome(ref ProtoReader content)
    {
        string session = "", resumeToken = "";
        var state = 0;
        long window = 0, heartbeat = 0, bytes = 0;
        var subscriptions = new List<SubscriptionState>();
        while (content.Next())
        {
            switch (content.Field)
            {
                case 1:
                    session = content.Text(TextProblem);
                    break;
                case 2:
                    resumeToken = content.Text(TextProblem);
                    break;
                case 3:
                    state = content.Enum();
                    break;
                case 4:
                    window = content.Integer(NumberProblem);
                    break;
                case 5:
                    heartbeat = content.Integer(NumberProblem);
                    break;
                case 6:
                    bytes = content.Integer(NumberProblem, int.MaxValue);
                    break;
                case 7:
                    var item = content.Message(repeated: true);
                    var (channel, epoch, head, cursor, _) = Fields(ref item);
                    content.Join(in item);
                    subscriptions.Add(new SubscriptionState(channel, epoch, head, cursor));
                    break;
            }
        }
        if (state is < 1 or > 3) content.Fail("state must be STATE_NEW, STATE_RESUMED or STATE_EXPIRED");
        return new WelcomeFrame
        {
            Session = session,
            ResumeToken = resumeToken,
            State = (WelcomeState)(state - 1),
            ResumeWindowMs = window,
            HeartbeatMs = heartbeat,
            MaxFrameBytes = (int)bytes,
            Subscriptions = subscriptions,
        };
    }
}

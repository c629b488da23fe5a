namespace Grid.Protocol.Proto;

/// <summary>
/// Reads the frames of clients: as strictly as those in JSON, since a frame that one codec refuses is not valid for its other
/// form. Only fields and values that are not known are passed over.
/// </summary>
internal static class ClientFrameReader
{
    private const string OffsetProblem = "offset must be an integer from 0 to 2^53-1";
    private const string FromProblem = "from must be ANCHOR_NOW, ANCHOR_START, a position or last (1 to 1000)";

    public static Decoded<ClientFrame> Read(ReadOnlyMemory<byte> frame)
    {
        var envelope = new ProtoReader(frame.Span, strict: true);
        var content = default(ProtoReader);
        var kind = 0;
        long? id = null;
        while (envelope.Next())
        {
            switch (envelope.Field)
            {
                case ClientField.Id:
                    // Of two request numbers none is the right one to answer with.
                    var again = envelope.Has(ClientField.Id);
                    var number = envelope.Integer("id must be an integer from 0 to 2^53-1");
                    id = again || envelope.Problem is not null ? null : number;
                    break;
                case >= ClientField.Hello and <= ClientField.Ping:
                    if (kind != 0) envelope.Fail("a frame has one content");
                    kind = envelope.Field;
                    content = envelope.Message();
                    break;
            }
        }

        // All of it is read, whatever was wrong with a part: bytes that break off are no frame.
        var result = kind == 0 || envelope.IsBroken ? null : Content(ref content, kind, id, frame);
        return envelope.Outcome(in content, kind, result, id);
    }

    private static ClientFrame? Content(ref ProtoReader content, int kind, long? id, ReadOnlyMemory<byte> frame) => kind switch
    {
        ClientField.Publish => Publish(ref content, id, frame),
        ClientField.Ack => Ack(ref content),
        ClientField.Ping => Ping(ref content),
        ClientField.Subscribe => Subscribe(ref content, id),
        ClientField.Unsubscribe => new UnsubscribeFrame { Id = id, Channel = content.ChannelAlone() },
        ClientField.Hello => Hello(ref content),
        ClientField.Auth => new AuthFrame { Id = id, Token = TokenAlone(ref content) },
        _ => null,
    };

    private static PublishFrame Publish(ref ProtoReader content, long? id, ReadOnlyMemory<byte> frame)
    {
        string channel = "";
        string? key = null, name = null;
        long? ifOffset = null;
        Payload? payload = null;
        while (content.Next())
        {
            switch (content.Field)
            {
                case 1:
                    channel = content.Channel();
                    break;
                case 2 or 3:
                    if (payload is not null) content.Fail(ProtoReader.PayloadProblem);
                    payload = content.Payload(frame, isBinary: content.Field == 3);
                    break;
                case 4:
                    key = content.Text(ClientRules.KeyProblem);
                    if (!Message.IsValidKey(key)) content.Fail(ClientRules.KeyProblem);
                    break;
                case 5:
                    name = content.Text(ClientRules.EventProblem);
                    if (!Message.IsValidEvent(name)) content.Fail(ClientRules.EventProblem);
                    break;
                case 6:
                    ifOffset = content.Integer("if_offset must be an integer from 0 to 2^53-1");
                    break;
            }
        }
        content.Require(1, ProtoReader.ChannelProblem);
        if (payload is null) content.Fail(ProtoReader.PayloadProblem);
        return new PublishFrame
        {
            Id = id,
            Channel = channel,
            Payload = payload is { IsBinary: false } json && content.Problem is null ? Json(ref content, json) : payload ?? default,
            Key = key,
            Event = name,
            IfOffset = ifOffset,
        };
    }

    /// <summary>
    /// A JSON payload becomes part of other clients' JSON frames as it is: here is where it is made sure that it is one value and not,
    /// say, a value and another member. The value is kept without the white space around it, as from a frame in JSON.
    /// </summary>
    private static Payload Json(ref ProtoReader content, Payload payload)
    {
        if (!JsonPayload.TryValidate(payload.Bytes.Span, out var error)) content.Fail(error!);
        var text = payload.Bytes.Span;
        var start = text.IndexOfAnyExcept(" \t\r\n"u8);
        return start < 0
            ? payload
            : Payload.Json(payload.Bytes[start..(text.LastIndexOfAnyExcept(" \t\r\n"u8) + 1)]);
    }

    private static AckFrame Ack(ref ProtoReader content)
    {
        var cursors = new Dictionary<string, long>(StringComparer.Ordinal);
        while (content.Next())
        {
            if (content.Field != 1) continue;
            var entry = content.Message(repeated: true);
            var channel = "";
            var offset = 0L;
            while (entry.Next())
            {
                if (entry.Field == 1) channel = entry.Channel();
                else if (entry.Field == 2) offset = entry.Integer(OffsetProblem);
            }
            Add(ref content, ref entry, cursors, channel, offset);
        }
        return new AckFrame { Cursors = cursors };
    }

    private static PingFrame Ping(ref ProtoReader content)
    {
        content.Skip();
        return PingFrame.Instance;
    }

    private static SubscribeFrame Subscribe(ref ProtoReader content, long? id)
    {
        var channel = "";
        StartPoint? from = null;
        while (content.Next())
        {
            switch (content.Field)
            {
                case 1:
                    channel = content.Channel();
                    break;
                case >= 2 and <= 4:
                    if (from is not null) content.Fail(FromProblem);
                    from = From(ref content);
                    break;
            }
        }
        content.Require(1, ProtoReader.ChannelProblem);
        return new SubscribeFrame { Id = id, Channel = channel, HasFrom = from is not null, From = from ?? StartPoint.Now };
    }

    private static StartPoint From(ref ProtoReader content)
    {
        switch (content.Field)
        {
            case 2:
                var anchor = content.Enum();
                if (anchor is not (1 or 2)) content.Fail(FromProblem);
                return anchor == 2 ? StartPoint.Start : StartPoint.Now;
            case 3:
                return StartPoint.After(Place(ref content));
            default:
                var last = content.Integer(FromProblem, ClientRules.MaxLast);
                if (last == 0) content.Fail(FromProblem);
                return StartPoint.Last((int)last);
        }
    }

    /// <summary>The current field as a position.</summary>
    private static Position Place(ref ProtoReader content)
    {
        var place = content.Message();
        var epoch = "";
        var offset = 0L;
        while (place.Next())
        {
            if (place.Field == 1) epoch = place.Text(ProtoReader.EpochProblem, Position.MaxEpochLength);
            else if (place.Field == 2) offset = place.Integer(OffsetProblem);
        }
        if (epoch.Length == 0) place.Fail(ProtoReader.EpochProblem);
        content.Join(in place);
        return new Position(epoch, offset);
    }

    private static HelloFrame Hello(ref ProtoReader content)
    {
        string? token = null, client = null;
        ResumeRequest? resume = null;
        while (content.Next())
        {
            switch (content.Field)
            {
                case 1:
                    token = content.Text(ClientRules.TokenProblem, WireLimits.MaxTokenLength);
                    break;
                case 2:
                    client = ClientRules.ShortenClient(content.Text("client must be a string"));
                    break;
                case 3:
                    resume = Resume(ref content);
                    break;
            }
        }
        return new HelloFrame { Token = token, Client = client, Resume = resume };
    }

    private static ResumeRequest Resume(ref ProtoReader content)
    {
        var resume = content.Message();
        string session = "", token = "";
        var cursors = new Dictionary<string, Position>(StringComparer.Ordinal);
        while (resume.Next())
        {
            switch (resume.Field)
            {
                case 1:
                    session = resume.Text("resume.session must be a string", WireLimits.MaxTokenLength);
                    break;
                case 2:
                    token = resume.Text("resume.token must be a string", WireLimits.MaxTokenLength);
                    break;
                case 3:
                    ResumeCursor(ref resume, cursors);
                    break;
            }
        }
        resume.Require(1, "resume.session must be a string");
        resume.Require(2, "resume.token must be a string");
        content.Join(in resume);
        return new ResumeRequest { Session = session, Token = token, Cursors = cursors };
    }

    private static void ResumeCursor(ref ProtoReader resume, Dictionary<string, Position> cursors)
    {
        var entry = resume.Message(repeated: true);
        var channel = "";
        var position = default(Position);
        while (entry.Next())
        {
            if (entry.Field == 1) channel = entry.Channel();
            else if (entry.Field == 2) position = Place(ref entry);
        }
        entry.Require(2, "cursors must give a position for each channel");
        Add(ref resume, ref entry, cursors, channel, position);
    }

    private static void Add<T>(
        ref ProtoReader content, ref ProtoReader entry, Dictionary<string, T> cursors, string channel, T value)
    {
        entry.Require(1, "cursors must name channels");
        content.Join(in entry);
        // Past the first thing wrong the rest is read for its form alone.
        if (content.Problem is not null) return;
        if (cursors.Count == WireLimits.MaxCursors) content.Fail("cursors names too many channels");
        else if (!cursors.TryAdd(channel, value)) content.Fail("cursors names a channel twice");
    }

    private static string TokenAlone(ref ProtoReader content)
    {
        var token = "";
        while (content.Next())
        {
            if (content.Field == 1) token = content.Text(ClientRules.TokenProblem, WireLimits.MaxTokenLength);
        }
        content.Require(1, ClientRules.TokenProblem);
        return token;
    }
}

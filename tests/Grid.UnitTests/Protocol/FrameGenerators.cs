using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Grid.Protocol;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Protocol;

/// <summary>Random valid frames. Used by every codec's property tests.</summary>
public static class FrameGenerators
{
    private static readonly Gen<string> Channel =
        from length in Gen.Frequency((9, Gen.Choose(1, 12)), (1, Gen.Choose(100, 200)))
        from chars in Gen.Elements([.. "ABCXYZabcxyz0189_.:~@-"]).ArrayOf(length)
        select new string(chars);

    /// <summary>Text without control characters: plain, quoted, of two, three and four bytes in UTF-8.</summary>
    private static readonly Gen<string> Plain =
        from length in Gen.Frequency((8, Gen.Choose(1, 10)), (1, Gen.Choose(50, 60)))
        from parts in Gen.Elements("a", "Z", "0", " ", "\"", "\\", "/", "<", "'", "é", "漢", "😀", "\u2028", "\uFFFD", "\uE000").ArrayOf(length)
        select string.Concat(parts);

    /// <summary>Any text, the empty one and control characters among it.</summary>
    private static readonly Gen<string> Text =
        Gen.Frequency((1, Gen.Constant("")), (6, Plain), (1, Plain.Select(t => t + "\0\n\u001f\u007f\u0085")));

    private static readonly Gen<long> Number = Gen.OneOf(
        Gen.Choose(0, 100).Select(n => (long)n),
        Gen.Choose(0, int.MaxValue).Select(n => (long)n << 20),
        Gen.Elements(0L, 1, int.MaxValue, 1L + int.MaxValue, WireLimits.MaxId));

    private static readonly Gen<long?> Id = Gen.Frequency((1, Gen.Constant((long?)null)), (3, Number.Select(n => (long?)n)));

    private static readonly Gen<Position> Place =
        from epoch in Plain.Select(t => t[..Math.Min(t.Length, 8)]).Where(t => !char.IsSurrogate(t[^1]))
        from offset in Number
        select new Position(epoch, offset);

    /// <summary>JSON text in the forms that a serializer would not choose.</summary>
    private static readonly Gen<string> JsonText = Gen.Sized(size => Json(Math.Min(size, 5)));

    private static readonly Gen<Payload> Content = Gen.Frequency(
        (3, JsonText.Select(t => Payload.Json(Encoding.UTF8.GetBytes(t)))),
        (1, Gen.Choose(0, 255).Select(b => (byte)b).ArrayOf().Select(b => Payload.Binary(b))));

    private static readonly Gen<StartPoint> From = Gen.OneOf(
        Gen.Elements(StartPoint.Now, StartPoint.Start),
        Place.Select(StartPoint.After),
        Gen.Choose(1, 1000).Select(StartPoint.Last));

    public static Gen<ClientFrame> ClientFrames { get; } = Gen.Frequency<ClientFrame>(
        (2, from token in Optional(Text)
            from client in Optional(Text)
            from resume in Optional(
                from session in Text
                from resumeToken in Text
                from cursors in Gen.Zip(Channel, Place).ListOf()
                select new ResumeRequest
                {
                    Session = session,
                    Token = resumeToken,
                    Cursors = cursors.DistinctBy(c => c.Item1).ToDictionary(c => c.Item1, c => c.Item2),
                })
            select (ClientFrame)new HelloFrame { Token = token, Client = client, Resume = resume }),
        (1, from id in Id
            from token in Text
            select (ClientFrame)new AuthFrame { Id = id, Token = token }),
        (2, from id in Id
            from channel in Channel
            from hasFrom in Gen.Elements(true, false)
            from start in From
            select (ClientFrame)new SubscribeFrame
            {
                Id = id, Channel = channel, HasFrom = hasFrom, From = hasFrom ? start : StartPoint.Now,
            }),
        (1, from id in Id
            from channel in Channel
            select (ClientFrame)new UnsubscribeFrame { Id = id, Channel = channel }),
        (4, from id in Id
            from channel in Channel
            from payload in Content
            from key in Optional(Plain)
            from name in Optional(Plain)
            from ifOffset in Id
            select (ClientFrame)new PublishFrame
            {
                Id = id, Channel = channel, Payload = payload, Key = key, Event = name, IfOffset = ifOffset,
            }),
        (1, from cursors in Gen.Zip(Channel, Number).ListOf()
            select (ClientFrame)new AckFrame
            {
                Cursors = cursors.DistinctBy(c => c.Item1).ToDictionary(c => c.Item1, c => c.Item2),
            }),
        (1, Gen.Constant<ClientFrame>(PingFrame.Instance)));

    public static Gen<Message> Messages { get; } =
        from offset in Number
        from at in Number
        from payload in Content
        from key in Optional(Plain)
        from name in Optional(Plain)
        from user in Optional(Text)
        select new Message { Offset = offset, At = at, Payload = payload, Key = key, Event = name, From = user };

    public static Gen<ServerFrame> ServerFrames { get; } = Gen.OneOf<ServerFrame>(
        from session in Text
        from token in Text
        from state in Gen.Elements(Enum.GetValues<WelcomeState>())
        from times in Gen.Two(Number)
        from bytes in Gen.Choose(0, int.MaxValue)
        from subscriptions in (
            from channel in Channel
            from place in Place
            from cursor in Number
            select new SubscriptionState(channel, place.Epoch, place.Offset, cursor)).ListOf()
        select (ServerFrame)new WelcomeFrame
        {
            Session = session,
            ResumeToken = token,
            State = state,
            ResumeWindowMs = times.Item1,
            HeartbeatMs = times.Item2,
            MaxFrameBytes = bytes,
            Subscriptions = [.. subscriptions],
        },
        from id in Id
        from ticks in Gen.Choose(0, int.MaxValue)
        select (ServerFrame)new AuthorizedFrame(id, DateTimeOffset.UnixEpoch.AddTicks(ticks * 10_000_001L)),
        from id in Id
        from channel in Channel
        from place in Place
        from cursor in Number
        select (ServerFrame)new SubscribedFrame(id, channel, place.Epoch, place.Offset, cursor),
        from id in Id
        from channel in Channel
        select (ServerFrame)new UnsubscribedFrame(id, channel),
        from id in Id
        from channel in Channel
        from place in Place
        from duplicate in Gen.Elements(true, false)
        select (ServerFrame)new PublishedFrame(id, channel, place.Epoch, place.Offset, duplicate),
        from channel in Channel
        from message in Messages
        select (ServerFrame)new MessageFrame(channel, message),
        from channel in Channel
        from place in Place
        from to in Number
        from reason in Gen.Elements(Enum.GetValues<GapReason>())
        select (ServerFrame)new GapFrame(channel, place.Epoch, place.Offset, to, reason),
        from id in Id
        from code in Gen.Elements(Enum.GetValues<ErrorCode>())
        from message in Text
        from retryAfter in Id
        select (ServerFrame)new ErrorFrame(id, code, message, retryAfter),
        from reason in Text
        from after in Number
        select (ServerFrame)new GoAwayFrame(reason, after),
        Gen.Constant<ServerFrame>(PongFrame.Instance));

    public static Arbitrary<ClientFrame> FromClient() => ClientFrames.ToArbitrary();

    public static Arbitrary<ServerFrame> FromServer() => ServerFrames.ToArbitrary();

    public static Arbitrary<Message> OneMessage() => Messages.ToArbitrary();

    private static Gen<string> Json(int depth)
    {
        var leaf = Gen.Elements(
            "null", "true", "false", "0", "-0", "1e2", "1.50", "12345678901234567890123", "\"\"", "\"\\u0041\\ud800\\/\"", "\"é漢😀\"", "[ ]", "{\n}");
        if (depth == 0) return leaf;
        var inner = Json(depth - 1);
        return Gen.OneOf(
            leaf,
            from items in Gen.Two(inner) select $"[{items.Item1} ,\t{items.Item2}]",
            from items in Gen.Two(inner) select $"{{ \"a\":{items.Item1},\"a\" : {items.Item2}}}");
    }

    private static Gen<T?> Optional<T>(Gen<T> gen)
        where T : class =>
        Gen.Frequency((1, Gen.Constant((T?)null)), (2, gen.Select(v => (T?)v)));
}

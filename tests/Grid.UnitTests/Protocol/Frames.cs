using System.Buffers;
using System.Globalization;
using System.Text;
using Grid.Protocol;

namespace Grid.UnitTests.Protocol;

/// <summary>What the tests of the codecs share.</summary>
internal static class Frames
{
    private static readonly JsonWireCodec Codec = JsonWireCodec.Instance;

    public static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);

    public static string Encode(ClientFrame frame)
    {
        var output = new ArrayBufferWriter<byte>();
        Codec.Encode(frame, output);
        return Encoding.UTF8.GetString(output.WrittenSpan);
    }

    public static string Encode(ServerFrame frame)
    {
        var output = new ArrayBufferWriter<byte>();
        Codec.Encode(frame, output);
        return Encoding.UTF8.GetString(output.WrittenSpan);
    }

    public static ClientFrame FromClient(string json) => Frame(Codec.DecodeClient(Utf8(json)));

    public static ServerFrame FromServer(string json) => Frame(Codec.DecodeServer(Utf8(json)));

    public static TFrame Frame<TFrame>(Decoded<TFrame> decoded)
        where TFrame : class
    {
        Assert.Null(decoded.Error);
        Assert.Equal(DecodeStatus.Ok, decoded.Status);
        return Assert.IsAssignableFrom<TFrame>(decoded.Frame);
    }

    /// <summary>Every field of a frame as text, so that frames can be compared by content and not by the codec's own output.</summary>
    public static string Describe(object frame) => frame switch
    {
        HelloFrame f => $"hello {Q(f.Token)} {Q(f.Client)} " + (f.Resume is { } r
            ? $"{Q(r.Session)} {Q(r.Token)} [{string.Join(",", r.Cursors.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => $"{c.Key}={c.Value}"))}]"
            : "-"),
        AuthFrame f => $"auth {N(f.Id)} {Q(f.Token)}",
        SubscribeFrame f => $"subscribe {N(f.Id)} {f.Channel} {f.HasFrom} {f.From.Kind} {f.From.Position} {N(f.From.Count)}",
        UnsubscribeFrame f => $"unsubscribe {N(f.Id)} {f.Channel}",
        PublishFrame f => $"publish {N(f.Id)} {f.Channel} {Describe(f.Payload)} {Q(f.Key)} {Q(f.Event)} {N(f.IfOffset)}",
        AckFrame f => $"ack [{string.Join(",", f.Cursors.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => $"{c.Key}={N(c.Value)}"))}]",
        WelcomeFrame f => $"welcome {Q(f.Session)} {Q(f.ResumeToken)} {f.State} {N(f.ResumeWindowMs)} {N(f.HeartbeatMs)} {N(f.MaxFrameBytes)} "
            + string.Join(",", f.Subscriptions),
        MessageFrame f => $"message {f.Channel} {Describe(f.Message)}",
        Message m => $"{N(m.Offset)} {N(m.At)} {Describe(m.Payload)} {Q(m.Key)} {Q(m.Event)} {Q(m.From)}",
        Payload p => p.IsBinary ? "binary " + Convert.ToHexString(p.Bytes.Span) : "json " + Encoding.UTF8.GetString(p.Bytes.Span),
        // The other frames are records of plain values.
        ClientFrame or ServerFrame => frame.ToString()!,
        _ => throw new ArgumentException("no frame", nameof(frame)),
    };

    private static string Q(string? text) => text is null ? "-" : $"\"{text}\"";

    private static string N(long? number) => number?.ToString(CultureInfo.InvariantCulture) ?? "-";
}

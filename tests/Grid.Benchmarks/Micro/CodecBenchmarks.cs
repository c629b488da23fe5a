using System.Buffers;
using BenchmarkDotNet.Attributes;
using Grid.Benchmarks.Net;
using Grid.Protocol;

namespace Grid.Benchmarks.Micro;

/// <summary>What a subprotocol costs for each publish and for each message delivered (once per channel, codec and silo).</summary>
public class CodecBenchmarks
{
    private readonly ArrayBufferWriter<byte> _output = new(64 * 1024);
    private IWireCodec _codec = JsonWireCodec.Instance;
    private byte[] _publish = [];
    private byte[] _ack = [];
    private byte[] _delivered = [];
    private Message _message = null!;

    /// <summary>Bytes of the payload.</summary>
    [Params(128, 4096)]
    public int Size { get; set; }

    /// <summary>The form of the frames.</summary>
    [Params("json", "proto")]
    public string Wire { get; set; } = "json";

    /// <summary>The payload: JSON, which a server checks, or bytes, which it does not look at.</summary>
    [Params("json", "bytes")]
    public string Payload { get; set; } = "json";

    [GlobalSetup]
    public void Setup()
    {
        _codec = Wire == "proto" ? ProtoWireCodec.Instance : JsonWireCodec.Instance;
        var payload = new Payload(Stamp.Payload(Size, 1), IsBinary: Payload == "bytes");
        _publish = Bytes(new PublishFrame { Id = 12345, Channel = "room:1", Payload = payload, Key = "k-12345" });
        _ack = Bytes(new AckFrame { Cursors = new Dictionary<string, long> { ["room:1"] = 4242 } });
        _message = new Message { Offset = 4242, At = 1_795_452_674_123, Payload = payload, From = "ana" };
        _output.ResetWrittenCount();
        _codec.EncodeMessage("room:1", _message, _output);
        _delivered = _output.WrittenSpan.ToArray();
    }

    [Benchmark]
    public bool DecodePublish() => _codec.DecodeClient(_publish).Status == DecodeStatus.Ok;

    [Benchmark]
    public bool DecodeAck() => _codec.DecodeClient(_ack).Status == DecodeStatus.Ok;

    [Benchmark]
    public int EncodeMessage()
    {
        _output.ResetWrittenCount();
        _codec.EncodeMessage("room:1", _message, _output);
        return _output.WrittenCount;
    }

    [Benchmark]
    public bool DecodeMessage() => _codec.DecodeServer(_delivered).Status == DecodeStatus.Ok;

    private byte[] Bytes(ClientFrame frame)
    {
        _output.ResetWrittenCount();
        _codec.Encode(frame, _output);
        return _output.WrittenSpan.ToArray();
    }
}

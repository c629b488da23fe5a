using System.Buffers;
using System.Text;
using BenchmarkDotNet.Attributes;
using Grid.Benchmarks.Net;
using Grid.Protocol;

namespace Grid.Benchmarks.Micro;

/// <summary>What the JSON subprotocol costs for each publish and for each message delivered (once per channel and silo).</summary>
public class CodecBenchmarks
{
    private readonly ArrayBufferWriter<byte> _output = new(64 * 1024);
    private byte[] _publish = [];
    private byte[] _ack = [];
    private byte[] _delivered = [];
    private Message _message = null!;

    /// <summary>Bytes of the payload.</summary>
    [Params(128, 4096)]
    public int Size { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        var payload = Stamp.Payload(Size, 1);
        _publish = [.. "{\"type\":\"publish\",\"id\":12345,\"channel\":\"room:1\",\"data\":"u8, .. payload, .. ",\"key\":\"k-12345\"}"u8];
        _ack = Encoding.UTF8.GetBytes("""{"type":"ack","cursors":{"room:1":4242}}""");
        _message = new Message { Offset = 4242, At = 1_795_452_674_123, Payload = Payload.Json(payload), From = "ana" };
        _output.ResetWrittenCount();
        JsonWireCodec.Instance.EncodeMessage("room:1", _message, _output);
        _delivered = _output.WrittenSpan.ToArray();
    }

    [Benchmark]
    public bool DecodePublish() => JsonWireCodec.Instance.DecodeClient(_publish).Status == DecodeStatus.Ok;

    [Benchmark]
    public bool DecodeAck() => JsonWireCodec.Instance.DecodeClient(_ack).Status == DecodeStatus.Ok;

    [Benchmark]
    public int EncodeMessage()
    {
        _output.ResetWrittenCount();
        JsonWireCodec.Instance.EncodeMessage("room:1", _message, _output);
        return _output.WrittenCount;
    }

    [Benchmark]
    public bool DecodeMessage() => JsonWireCodec.Instance.DecodeServer(_delivered).Status == DecodeStatus.Ok;
}

using System.Buffers;

namespace Grid.Benchmarks.Net;

/// <summary>
/// Puts together what a server's frames cut apart: in some protocols the frames of a WebSocket carry a stream, whose lines or records
/// may begin in one and end in another.
/// </summary>
internal struct CutFrames
{
    private byte[]? _rest;
    private int _length;

    /// <summary>Consumes a part of the stream; returns how many bytes of it are done with.</summary>
    public delegate int Consumer(ReadOnlySpan<byte> bytes);

    /// <summary>Gives a frame's payload to the consumer, behind what it left of the one before.</summary>
    public void Take(ReadOnlySpan<byte> payload, Consumer consume)
    {
        if (_length == 0)
        {
            Keep(payload[consume(payload)..]);
            return;
        }

        // Seldom: a record was cut by the end of a frame.
        var whole = ArrayPool<byte>.Shared.Rent(_length + payload.Length);
        _rest.AsSpan(0, _length).CopyTo(whole);
        payload.CopyTo(whole.AsSpan(_length));
        ReadOnlySpan<byte> all = whole.AsSpan(0, _length + payload.Length);
        Keep(all[consume(all)..]);
        ArrayPool<byte>.Shared.Return(whole);
    }

    /// <summary>Forgets what was left.</summary>
    public void Clear() => _length = 0;

    private void Keep(ReadOnlySpan<byte> rest)
    {
        if (rest.Length > (_rest?.Length ?? 0)) _rest = new byte[rest.Length * 2];
        rest.CopyTo(_rest);
        _length = rest.Length;
    }
}

using System.Buffers;
using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Relay;

/// <summary>A run of messages encoded once for one kind of consumer: its bytes, and where each message ends in them.</summary>
internal sealed class EncodedRun
{
    [ThreadStatic]
    private static ArrayBufferWriter<byte>? _scratch;

    private readonly byte[] _bytes;
    private readonly int[] _ends;

    /// <summary>Encodes a run.</summary>
    public EncodedRun(IDeliveryEncoder encoder, ChannelId channel, string epoch, ReadOnlySpan<Message> messages)
    {
        var scratch = Scratch();
        _ends = new int[messages.Length];
        for (var i = 0; i < messages.Length; i++)
        {
            encoder.EncodeMessage(channel, epoch, messages[i], scratch);
            _ends[i] = scratch.WrittenCount;
        }

        _bytes = scratch.WrittenSpan.ToArray();
    }

    /// <summary>How many of the messages from <paramref name="skip"/> on fit into <paramref name="room"/> bytes.</summary>
    public int CountFitting(int skip, int room)
    {
        var start = Start(skip);
        var fitting = _ends.Length - skip;
        while (fitting > 0 && _ends[skip + fitting - 1] - start > room) fitting--;
        return fitting;
    }

    /// <summary>The bytes of <paramref name="count"/> messages from <paramref name="skip"/> on.</summary>
    public ReadOnlyMemory<byte> Slice(int skip, int count)
    {
        var start = Start(skip);
        return _bytes.AsMemory(start, _ends[skip + count - 1] - start);
    }

    /// <summary>The encoded form of a gap.</summary>
    public static byte[] Gap(IDeliveryEncoder encoder, GapFrame gap)
    {
        var scratch = Scratch();
        encoder.EncodeGap(gap, scratch);
        return scratch.WrittenSpan.ToArray();
    }

    private int Start(int skip) => skip == 0 ? 0 : _ends[skip - 1];

    private static ArrayBufferWriter<byte> Scratch()
    {
        var scratch = _scratch ??= new ArrayBufferWriter<byte>(16 * 1024);
        scratch.ResetWrittenCount();
        return scratch;
    }
}

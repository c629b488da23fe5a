using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Grid.Protocol.Json;

/// <summary>One JSON writer per thread, lent for the writing of one frame.</summary>
internal static class PooledWriter
{
    /// <summary>Frames are never part of a web page: little more is escaped than JSON itself asks for.</summary>
    public static readonly JavaScriptEncoder Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping;

    private static readonly JsonWriterOptions Options = new() { Encoder = Encoder, SkipValidation = true };

    [ThreadStatic]
    private static Utf8JsonWriter? _free;

    public static Utf8JsonWriter Rent(IBufferWriter<byte> output)
    {
        var writer = _free;
        if (writer is null) return new Utf8JsonWriter(output, Options);
        // Taken, not borrowed: should the output itself write a frame, that one gets a writer of its own.
        _free = null;
        writer.Reset(output);
        return writer;
    }

    /// <summary>Hands what was written to the output, and the writer back. Not called after a fault: that writer is dropped.</summary>
    public static void FlushAndReturn(Utf8JsonWriter writer)
    {
        writer.Flush();
        // A writer that waits must not keep somebody's buffer alive.
        writer.Reset(Nowhere.Instance);
        _free = writer;
    }

    private sealed class Nowhere : IBufferWriter<byte>
    {
        public static readonly Nowhere Instance = new();

        public void Advance(int count)
        {
        }

        public Memory<byte> GetMemory(int sizeHint = 0) => new byte[Math.Max(sizeHint, 256)];

        public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;
    }
}

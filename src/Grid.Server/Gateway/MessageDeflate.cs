using System.IO.Compression;

namespace Grid.Server.Gateway;

/// <summary>
/// Deflates single messages as RFC 7692 section 7.2.1 has it, each by itself (<c>server_no_context_takeover</c>): so one compressed
/// form serves all sockets, no socket holds a window, and nothing in one message shows in the length of another.
/// </summary>
internal static class MessageDeflate
{
    /// <summary>Smaller ones gain little or nothing.</summary>
    private const int MinBytes = 256;

    /// <summary>A buffer that grew past this for a large message is not kept.</summary>
    private const int MaxKeptBytes = 64 * 1024;

    [ThreadStatic]
    private static MemoryStream? _output;

    /// <summary>What ends a flush, and is left out on the wire: an empty block.</summary>
    private static ReadOnlySpan<byte> Tail => [0x00, 0x00, 0xFF, 0xFF];

    /// <summary>Deflates a message; false when that is not worth it. The result is good until the next call on this thread.</summary>
    public static bool TryDeflate(ReadOnlySpan<byte> message, out ReadOnlySpan<byte> deflated)
    {
        deflated = default;
        if (message.Length < MinBytes) return false;
        if (_output is not { Capacity: <= MaxKeptBytes }) _output = new MemoryStream(4096);
        var output = _output;
        output.SetLength(0);
        int length;
        using (var deflate = new DeflateStream(output, CompressionLevel.Fastest, leaveOpen: true))
        {
            deflate.Write(message);
            deflate.Flush();
            // What the end of the stream adds is no part of the message.
            length = (int)output.Length;
        }

        var bytes = output.GetBuffer().AsSpan(0, length);
        if (!bytes.EndsWith(Tail) || length - Tail.Length >= message.Length) return false;
        deflated = bytes[..^Tail.Length];
        return true;
    }
}

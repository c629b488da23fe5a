using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Grid.Testing.Net;

/// <summary>An HTTP/1.1 request as it came.</summary>
/// <param name="Head">The request line and the headers, with the empty line that ends them.</param>
/// <param name="Body">The body.</param>
public sealed record TcpRequest(string Head, byte[] Body);

/// <summary>A connection that a <see cref="TcpReceiver"/> accepted.</summary>
public sealed class TcpReceiverConnection
{
    private static readonly byte[] HeadEnd = "\r\n\r\n"u8.ToArray();
    private readonly Socket _socket;
    private byte[] _buffer = new byte[8 * 1024];
    private int _length;

    internal TcpReceiverConnection(Socket socket, Stream stream, CancellationToken stop) => (_socket, Stream, Stop) = (socket, stream, stop);

    /// <summary>The connection's bytes.</summary>
    public Stream Stream { get; }

    /// <summary>Cancelled when the receiver is closed.</summary>
    public CancellationToken Stop { get; }

    /// <summary>Reads a request with its body, which has a length; null at the end.</summary>
    public async Task<TcpRequest?> ReadAsync()
    {
        while (true)
        {
            var end = _buffer.AsSpan(0, _length).IndexOf(HeadEnd);
            if (end >= 0)
            {
                var head = Encoding.Latin1.GetString(_buffer, 0, end + HeadEnd.Length);
                var whole = head.Length + LengthOf(head);
                if (_length >= whole)
                {
                    var request = new TcpRequest(head, _buffer[head.Length..whole]);
                    _buffer.AsSpan(whole, _length - whole).CopyTo(_buffer);
                    _length -= whole;
                    return request;
                }
            }

            if (_length == _buffer.Length) Array.Resize(ref _buffer, _buffer.Length * 2);
            var read = await Stream.ReadAsync(_buffer.AsMemory(_length), Stop);
            if (read == 0) return null;
            _length += read;
        }
    }

    /// <summary>Reads a request: its head and body as they came; null at the end.</summary>
    public async Task<string?> ReadRequestAsync() =>
        await ReadAsync() is { } request ? request.Head + Encoding.Latin1.GetString(request.Body) : null;

    /// <summary>Sends a text as it is.</summary>
    public async Task SendAsync(string text) => await Stream.WriteAsync(Encoding.Latin1.GetBytes(text), Stop);

    /// <summary>Waits until the receiver is closed.</summary>
    public Task HangAsync() => Task.Delay(Timeout.Infinite, Stop);

    /// <summary>Waits until the other end has left, or the receiver is closed.</summary>
    public async Task GoneAsync()
    {
        var nothing = new byte[1];
        while (await Stream.ReadAsync(nothing, Stop) > 0)
        {
            // What comes before the answer belongs to nobody.
        }
    }

    /// <summary>Closes with a reset.</summary>
    public void Reset()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Close();
    }

    private static int LengthOf(string head)
    {
        foreach (var line in head.Split("\r\n"))
        {
            if (line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase)) return int.Parse(line[15..], CultureInfo.InvariantCulture);
        }

        return 0;
    }
}

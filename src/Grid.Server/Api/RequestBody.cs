using System.Buffers;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace Grid.Server.Api;

/// <summary>The whole body of a request in a rented buffer.</summary>
internal sealed class RequestBody : IDisposable
{
    /// <summary>The largest body that any endpoint reads, in bytes: 8 MiB.</summary>
    public const int MaxBytes = 8 * 1024 * 1024;

    private byte[] _buffer;

    private RequestBody(byte[] buffer) => _buffer = buffer;

    /// <summary>The bytes; they change after disposal.</summary>
    public ReadOnlyMemory<byte> Bytes { get; private set; }

    /// <summary>What a body over the limit is answered with.</summary>
    public static GridProblem TooLarge() => new(ErrorCode.TooLarge, "The body is larger than this endpoint reads.");

    /// <summary>Reads a body to its end. Memory grows with what has come, not with what the header claims.</summary>
    /// <exception cref="GridProblemException">The body is larger than <paramref name="maxBytes"/>.</exception>
    public static async ValueTask<RequestBody> ReadAsync(HttpContext context, int maxBytes)
    {
        if (context.Request.ContentLength > maxBytes) throw new GridProblemException(TooLarge());
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = maxBytes;

        var body = new RequestBody(ArrayPool<byte>.Shared.Rent((int)Math.Min(context.Request.ContentLength ?? 4096, 64 * 1024) + 1));
        try
        {
            var length = 0;
            while (true)
            {
                var read = await context.Request.Body.ReadAsync(body._buffer.AsMemory(length), context.RequestAborted);
                if (read == 0) break;
                length += read;
                if (length > maxBytes) throw new GridProblemException(TooLarge());
                if (length == body._buffer.Length) body.Grow();
            }

            body.Bytes = body._buffer.AsMemory(0, length);
            return body;
        }
        catch
        {
            body.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_buffer.Length > 0) ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
        Bytes = default;
    }

    private void Grow()
    {
        var larger = ArrayPool<byte>.Shared.Rent(_buffer.Length * 2);
        _buffer.CopyTo(larger.AsSpan());
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = larger;
    }
}

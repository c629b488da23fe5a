using System.Buffers;

namespace Grid.Server.Webhooks.Network;

/// <summary>What has come of an endpoint's answer so far; what there is when the rest fails is recorded too.</summary>
/// <param name="startedAt">When the request began.</param>
/// <param name="started">The same as a time stamp.</param>
internal sealed class Answer(DateTimeOffset startedAt, long started)
{
    private const int Chunk = 16 * 1024;

    public DateTimeOffset StartedAt => startedAt;

    public long Started => started;

    public int? Status { get; set; }

    public TimeSpan? RetryAfter { get; set; }

    /// <summary>The headers that the caller wanted to see; null: none of them was there.</summary>
    public Dictionary<string, string[]>? Headers { get; private set; }

    public string Body { get; private set; } = "";

    public int BodyBytes { get; private set; }

    public bool BodyClipped { get; private set; }

    /// <summary>Keeps a header: the value of each of its lines.</summary>
    public void Add(string name, string[] values) => (Headers ??= new(StringComparer.OrdinalIgnoreCase))[name] = values;

    /// <summary>Reads the body up to the limit, and keeps its beginning.</summary>
    public async Task ReadBodyAsync(HttpContent content, WebhookNetworkOptions options, CancellationToken cancellation)
    {
        if (content.Headers.ContentLength == 0) return;
        var most = options.MaxAnswerBytes;
        var kept = Math.Min(options.KeptAnswerBytes, most);
        var (buffer, scratch) = (ArrayPool<byte>.Shared.Rent(kept), ArrayPool<byte>.Shared.Rent(Chunk));
        try
        {
            await using var stream = await content.ReadAsStreamAsync(cancellation);
            while (true)
            {
                // At the limit, one byte more tells whether that is all; the connection can be used again only if it was read to its end.
                var room = BodyBytes < kept ? buffer.AsMemory(BodyBytes, kept - BodyBytes) : scratch.AsMemory(0, Math.Clamp(most - BodyBytes, 1, Chunk));
                var read = await stream.ReadAsync(room, cancellation);
                if (read == 0) return;
                if (BodyBytes + read > kept) BodyClipped = true;
                if (BodyBytes == most) return;
                BodyBytes += read;
            }
        }
        finally
        {
            Keep(buffer.AsSpan(0, Math.Min(BodyBytes, kept)), content, options.KeptAnswerBytes);
            ArrayPool<byte>.Shared.Return(buffer);
            ArrayPool<byte>.Shared.Return(scratch);
        }
    }

    private void Keep(ReadOnlySpan<byte> bytes, HttpContent content, int most)
    {
        if (bytes.Length == 0) return;

        // Compressed although nobody asked for it: it is not unpacked, since little of it can become very much.
        if (content.Headers.NonValidated.Contains("Content-Encoding"))
        {
            BodyClipped = true;
            return;
        }

        Body = AnswerText.Make(bytes, most, out var clipped);
        BodyClipped |= clipped;
    }
}

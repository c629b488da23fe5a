using System.Net;
using System.Text;

namespace Grid.Testing.Hosting;

/// <summary>One Server-Sent Event.</summary>
/// <param name="Event">Its name; <c>message</c> when none was sent.</param>
/// <param name="Id">Its id, or null.</param>
/// <param name="Data">Its data.</param>
public sealed record SseEvent(string Event, string? Id, string Data);

/// <summary>Reads a stream of Server-Sent Events by the rules of the HTML standard.</summary>
public sealed class SseReader(HttpResponseMessage answer) : IDisposable
{
    private StreamReader? _reader;

    /// <summary>The answer's status.</summary>
    public HttpStatusCode Status => answer.StatusCode;

    /// <summary>The answer's media type.</summary>
    public string? ContentType => answer.Content.Headers.ContentType?.MediaType;

    /// <summary>The next event; null at the end of the stream.</summary>
    /// <exception cref="TestFailedException">None came in 30 s.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async Task<SseEvent?> NextAsync(CancellationToken cancellationToken = default)
    {
        using var deadline = TestDeadline.In(30);
        using var cancelled = cancellationToken.UnsafeRegister(static d => ((SseReader)d!).Abandon(), this);
        _reader ??= new StreamReader(await answer.Content.ReadAsStreamAsync(deadline.Token).ConfigureAwait(false), Encoding.UTF8);
        string name = "message", data = "";
        string? id = null;
        var any = false;
        try
        {
            while (await _reader.ReadLineAsync(deadline.Token).ConfigureAwait(false) is { } line)
            {
                if (line.Length == 0)
                {
                    if (any) return new SseEvent(name, id, data);
                    continue;
                }

                if (line[0] == ':') continue;
                var colon = line.IndexOf(':', StringComparison.Ordinal);
                var field = colon < 0 ? line : line[..colon];
                var value = colon < 0 ? "" : line[(colon + 1)..];
                if (value.StartsWith(' ')) value = value[1..];
                if (field == "event") name = value;
                if (field == "id") id = value;
                if (field != "data") continue;
                data = any ? data + "\n" + value : value;
                any = true;
            }

            return null;
        }
        catch (Exception e) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException("The reading was cancelled.", e, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            throw new TestFailedException("No event came within 30 s.");
        }
    }

    private void Abandon() => answer.Dispose();

    /// <inheritdoc/>
    public void Dispose()
    {
        _reader?.Dispose();
        answer.Dispose();
    }
}

using System.Collections.Concurrent;
using Grid.Testing.Net;

namespace Grid.Testing.Webhooks;

/// <summary>
/// A receiver of webhooks on loopback that keeps all requests and answers them as a test says: for each path on its own, and changeable
/// at any time (<see cref="Answers"/>). It can be closed, so that connections are refused, and opened again on the same port.
/// </summary>
public sealed class WebhookReceiver : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, WebhookInbox> _inboxes = new();
    private readonly TcpReceiver _tcp;
    private int _requests;

    /// <summary>Starts one.</summary>
    public WebhookReceiver() => _tcp = new TcpReceiver(ServeAsync);

    /// <summary>Where it listens, also while it is closed.</summary>
    public int Port => _tcp.Port;

    /// <summary>The connections that it accepted.</summary>
    public int Connections => _tcp.Connections;

    /// <summary>The inbox that most tests need alone: <c>/in</c>.</summary>
    public WebhookInbox Inbox => At("/in");

    /// <summary>The inbox of a path.</summary>
    public WebhookInbox At(string path) => _inboxes.GetOrAdd(path, static (p, port) => new WebhookInbox($"http://127.0.0.1:{port}{p}"), Port);

    /// <summary>Closes: requests under way are reset, and new connections refused.</summary>
    public Task CloseAsync() => _tcp.CloseAsync();

    /// <summary>Listens again, on the same port.</summary>
    public void Open() => _tcp.Open();

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _tcp.DisposeAsync();

    private async Task ServeAsync(TcpReceiverConnection connection)
    {
        while (await connection.ReadAsync() is { } raw)
        {
            var request = new ReceivedWebhook(raw, Interlocked.Increment(ref _requests));
            var inbox = At(request.Path);

            // Taken before the request shows: whoever sees it and then changes the answer changes that of the next.
            var answer = inbox.Answer;
            inbox.Add(request);
            try
            {
                await answer(new ReceiverExchange(connection, request));
            }
            finally
            {
                inbox.Answered(request);
            }
        }
    }
}

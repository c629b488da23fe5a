using Grid.Protocol;

namespace Grid.Client;

/// <summary>The settings of a <see cref="GridClient"/>.</summary>
public sealed record GridClientOptions
{
    /// <summary>
    /// The server's address, for example <c>ws://localhost:8080</c>. <c>http</c> and <c>https</c> stand for <c>ws</c> and <c>wss</c>; without
    /// a path, <c>/v1/ws</c> is taken.
    /// </summary>
    public required Uri Uri { get; init; }

    /// <summary>A client token that is never replaced. Either this or <see cref="TokenProvider"/>.</summary>
    public string? Token { get; init; }

    /// <summary>
    /// Fetches a client token, usually from the application's own server. Called at the first connect, before a token expires, and
    /// after one was refused; given 30 seconds.
    /// </summary>
    public Func<CancellationToken, ValueTask<string>>? TokenProvider { get; init; }

    /// <summary>Name and version of the application, for the server's logs. Default <c>grid-dotnet/</c> and this library's version.</summary>
    public string? ClientName { get; init; }

    /// <summary>A session to take up, from <see cref="GridClient.ExportSession"/>.</summary>
    public ResumeState? Resume { get; init; }

    /// <summary>The backoff's first ceiling: attempt n waits a random time up to min(<see cref="BackoffMax"/>, this × 2ⁿ). Default 500 ms.</summary>
    public TimeSpan BackoffMin { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>The longest time between two attempts. Default 30 s.</summary>
    public TimeSpan BackoffMax { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long one attempt may take, from opening the socket to <c>welcome</c>, the token's fetch included. Default 30 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How many publishes may wait for their answer, sent or not. Default 1,000.</summary>
    public int MaxQueuedPublishes { get; init; } = 1_000;

    /// <summary>The bytes of their frames together. Default 8 MiB.</summary>
    public long MaxQueuedPublishBytes { get; init; } = 8 * 1024 * 1024;

    /// <summary>
    /// How long a publish may take in all, outages included. Default 30 s. After it the caller gets <c>timeout</c>: whether the message
    /// was stored is then unknown if it had been sent (<see cref="GridException.OutcomeUnknown"/>).
    /// </summary>
    public TimeSpan PublishTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long <c>subscribe</c>, <c>unsubscribe</c> and <c>auth</c> wait for their answer, outages included. Default 30 s.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How many messages may wait for one subscription's consumer. Default 256. What happens then: see <see cref="GridClient"/>.</summary>
    public int MaxQueuedMessages { get; init; } = 256;

    /// <summary>The bytes of their frames. Default 1 MiB. One message is always taken.</summary>
    public long MaxQueuedMessageBytes { get; init; } = 1024 * 1024;

    /// <summary>
    /// After how many of the server's heartbeats without a frame the connection is given up. After the first a ping is sent.
    /// Default 2, at least 2.
    /// </summary>
    public int HeartbeatMisses { get; init; } = 2;

    /// <summary>How long <see cref="GridClient.CloseAsync"/> waits for running handlers, and then for the server. Default 5 s.</summary>
    public TimeSpan CloseTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The clock.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>The source of jitter. Idempotency keys do not come from it.</summary>
    public Random Random { get; init; } = Random.Shared;

    /// <summary>Makes the connections.</summary>
    public IGridTransport Transport { get; init; } = new WebSocketTransport();

    /// <summary>How frames become bytes. Default: JSON.</summary>
    public IWireCodec Codec { get; init; } = JsonWireCodec.Instance;

    /// <summary>The address as the transport gets it.</summary>
    internal Uri WebSocketUri
    {
        get
        {
            var builder = new UriBuilder(Uri);
            builder.Scheme = builder.Scheme switch { "http" => "ws", "https" => "wss", var other => other };
            if (builder.Path is "" or "/") builder.Path = "/v1/ws";
            return builder.Uri;
        }
    }

    /// <summary>Refuses what can't work.</summary>
    internal void Validate()
    {
        if (Uri is not { IsAbsoluteUri: true } || Uri.Scheme is not ("ws" or "wss" or "http" or "https"))
            throw new ArgumentException("Uri must be absolute, with the scheme ws, wss, http or https.", nameof(Uri));
        if (Token is not null && TokenProvider is not null)
            throw new ArgumentException("Give Token or TokenProvider, not both.", nameof(Token));
        CheckDuration(BackoffMin, nameof(BackoffMin));
        CheckDuration(BackoffMax, nameof(BackoffMax));
        CheckDuration(ConnectTimeout, nameof(ConnectTimeout));
        CheckDuration(PublishTimeout, nameof(PublishTimeout));
        CheckDuration(RequestTimeout, nameof(RequestTimeout));
        CheckDuration(CloseTimeout, nameof(CloseTimeout));
        ArgumentOutOfRangeException.ThrowIfLessThan(BackoffMax, BackoffMin);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxQueuedPublishes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxQueuedPublishBytes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxQueuedMessages, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxQueuedMessageBytes, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(HeartbeatMisses, 2);
    }

    /// <summary>Timers of .NET take no more than this.</summary>
    private static void CheckDuration(TimeSpan value, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, TimeSpan.FromMilliseconds(int.MaxValue), name);
    }
}

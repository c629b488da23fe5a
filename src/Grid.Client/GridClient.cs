using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Grid.Protocol;

namespace Grid.Client;

/// <summary>
/// A client of Grid: one session, kept through any number of connections. What it promises to the application:
/// <list type="bullet">
/// <item>Each message of a subscribed channel reaches the consumer once, in order; what can't be delivered any more is announced by
/// a gap at its place.</item>
/// <item>A message is acknowledged when its handler has finished (or the loop over <see cref="ReadAsync"/> asks for the next one), so
/// a session taken up elsewhere begins with the first unfinished message.</item>
/// <item>A publish that was answered is stored; one that an outage interrupted is sent again with its key and stored once.</item>
/// <item>Everything is bounded. When the queue of a subscription is full, the client stops reading the socket. Does the consumer then
/// make no room for 2 seconds (100 ms while an answer is awaited, because the consumer may be the one who waits for it), the client
/// leaves the channel, reads on, and subscribes again from the consumer's cursor once the consumer has caught up.</item>
/// </list>
/// All members can be called from any thread. Events are raised on the client's own loops: handlers must not block.
/// </summary>
public sealed partial class GridClient : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _handlers = new();
    private readonly AsyncLocal<bool> _inHandler = new();
    private readonly TaskCompletionSource _welcomed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly long _origin;
    private readonly ITimer _timer;
    private readonly TokenSource _tokens;
    private readonly ReconnectPolicy _reconnect;
    private readonly PublishQueue _publishes;
    private readonly AckBatcher _acks = new();
    private readonly AsyncSignal _unblocked = new();
    private readonly Dictionary<string, Subscription> _subscriptions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Position> _restored;
    private readonly HashSet<Task> _pumps = [];
    private readonly string _keyPrefix = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
    private Task? _run;
    private Task? _closed;
    private Link? _link;
    private ConnectionState _state;
    private GridException? _end;
    private bool _stopping;
    private string? _session;
    private string? _resumeToken;
    private bool _importing;
    private int _maxFrameBytes = FrameSize.DefaultMax;
    private long _lastId;
    private long _lastKey;
    private TimeSpan _timerAt = TimeSpan.MaxValue;

    /// <summary>Makes a client that is not connected yet. Subscriptions and publishes made before it is are kept until then.</summary>
    /// <exception cref="ArgumentException">An option is not usable.</exception>
    public GridClient(GridClientOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        Options = options;
        _origin = options.TimeProvider.GetTimestamp();
        _tokens = new TokenSource(options);
        _reconnect = new ReconnectPolicy(new Backoff(options.BackoffMin, options.BackoffMax, options.Random), _tokens.CanRefresh);
        _publishes = new PublishQueue(options.MaxQueuedPublishes, options.MaxQueuedPublishBytes, options.Random);
        _restored = new Dictionary<string, Position>(options.Resume?.Cursors ?? new Dictionary<string, Position>(), StringComparer.Ordinal);
        _importing = options.Resume is not null;
        _session = options.Resume?.Session;
        _resumeToken = options.Resume?.ResumeToken;
        _timer = options.TimeProvider.CreateTimer(
            static state => ((GridClient)state!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Raised when <see cref="State"/> has changed.</summary>
    public event EventHandler<StateChangedEventArgs>? StateChanged;

    /// <summary>Raised when a consumer reaches a gap, after its own <see cref="SubscribeOptions.OnGap"/>.</summary>
    public event EventHandler<GapEventArgs>? Gap;

    /// <summary>Raised when the server asks to reconnect; the client does so by itself.</summary>
    public event EventHandler<GoAwayEventArgs>? GoAway;

    /// <summary>Raised when the session was gone at a reconnect. Subscriptions go on from their own cursors in the new one.</summary>
    public event EventHandler<SessionExpiredEventArgs>? SessionExpired;

    /// <summary>Raised for what fails without a caller who waits: handlers, connections, token refresh, errors without a request.</summary>
    public event EventHandler<GridErrorEventArgs>? Error;

    /// <summary>Where the client stands.</summary>
    public ConnectionState State
    {
        get
        {
            lock (Gate) return _state;
        }
    }

    /// <summary>The session's id; null before the first welcome.</summary>
    public string? Session
    {
        get
        {
            lock (Gate) return _session;
        }
    }

    /// <summary>The client's settings.</summary>
    public GridClientOptions Options { get; }

    /// <summary>Guards all that changes. Nothing awaits, sends or calls the application under it.</summary>
    internal Lock Gate { get; } = new();

    private TimeSpan Now => Options.TimeProvider.GetElapsedTime(_origin);

    /// <summary>
    /// Starts to connect and waits for the first welcome. An unreachable server is tried again with backoff. Cancelling ends the waiting,
    /// not the trying: that ends with <see cref="CloseAsync"/>.
    /// </summary>
    /// <exception cref="GridException"><c>unauthorized</c> or <c>closed</c>: the server refused for good, or the client was closed.</exception>
    public Task ConnectAsync(CancellationToken cancellationToken = default)
    {
        lock (Gate)
        {
            if (_closed is null) _run ??= Task.Run(RunAsync, CancellationToken.None);
            else _welcomed.TrySetException(new GridException(GridErrorCodes.Closed, "The client is closed."));
        }

        return _welcomed.Task.WaitAsync(cancellationToken);
    }

    /// <summary>
    /// What another process needs to take the session up: its token and, for each channel, what was finished with. Null before the
    /// first welcome. Call it after <see cref="CloseAsync"/> to hand over; this client must not go on beside the other.
    /// </summary>
    public ResumeState? ExportSession()
    {
        lock (Gate)
        {
            if (_session is null || _resumeToken is null) return null;
            var cursors = new Dictionary<string, Position>(_restored, StringComparer.Ordinal);
            foreach (var subscription in _subscriptions.Values)
                if (subscription.Tracker.Processed is { } position)
                    cursors[subscription.Channel] = position;
            return new ResumeState { Session = _session, ResumeToken = _resumeToken, Cursors = cursors };
        }
    }

    /// <summary>
    /// Closes the client: no handler starts any more, running ones are waited for up to <see cref="GridClientOptions.CloseTimeout"/> and
    /// then cancelled, the last acks are sent, and the socket is closed. Publishes without an answer fail with <c>closed</c>:
    /// <see cref="FlushAsync"/> first. The session lives on in the server for its window. A handler may call this; it is then not waited for.
    /// </summary>
    public Task CloseAsync()
    {
        var inHandler = _inHandler.Value;
        lock (Gate) return _closed ??= Task.Run(() => CloseCoreAsync(inHandler));
    }

    /// <summary>The same as <see cref="CloseAsync"/>.</summary>
    public async ValueTask DisposeAsync() => await CloseAsync();

    /// <summary>
    /// Follows a channel with a handler, which gets the messages one after the other. Completes when the server has confirmed.
    /// </summary>
    /// <param name="channel">The channel.</param>
    /// <param name="from">Where to start.</param>
    /// <param name="handler">Called for each message; its token is cancelled when the client closes.</param>
    /// <param name="options">Gap and error handlers.</param>
    /// <param name="cancellationToken">Ends the waiting and the subscription.</param>
    /// <exception cref="GridException">
    /// The server's refusal (<c>forbidden</c>, <c>invalid_position</c>, <c>quota_exceeded</c>), <c>timeout</c>, <c>closed</c>, or
    /// <c>already_subscribed</c>.
    /// </exception>
    public async Task<Subscription> SubscribeAsync(
        string channel,
        StartPoint from,
        Func<GridMessage, CancellationToken, ValueTask> handler,
        SubscribeOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(handler);
        var subscription = Add(channel, from, options ?? new SubscribeOptions());
        StartPump(subscription, handler);
        await ReadyAsync(subscription, cancellationToken);
        return subscription;
    }

    /// <summary>
    /// Follows a channel with a loop. A message counts as finished when the loop asks for the next one; leaving the loop ends the
    /// subscription with its cursor before the message in hand. The stream ends when the client is closed.
    /// </summary>
    /// <param name="channel">The channel.</param>
    /// <param name="from">Where to start.</param>
    /// <param name="options">Gap handler.</param>
    /// <param name="cancellationToken">Ends the loop.</param>
    /// <exception cref="GridException">As with <see cref="SubscribeAsync"/>, when the loop begins or later.</exception>
    public async IAsyncEnumerable<GridMessage> ReadAsync(
        string channel,
        StartPoint from = default,
        SubscribeOptions? options = null,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var subscription = Add(channel, from, options ?? new SubscribeOptions());
        try
        {
            await ReadyAsync(subscription, cancellationToken);
            while (await subscription.NextAsync(cancellationToken) is { } message) yield return message;
        }
        finally
        {
            lock (Gate) Leave(subscription, null);
        }
    }

    /// <summary>
    /// Publishes a message and waits until it is stored. An outage meanwhile is bridged: the message is sent again, with its key, after
    /// the reconnect, and in the order of the calls per channel.
    /// </summary>
    /// <exception cref="GridException">
    /// The server's refusal (<c>forbidden</c>, <c>conflict</c>, <c>too_large</c>, …); <c>queue_full</c> at once when too many wait;
    /// <c>timeout</c>; <c>closed</c>. See <see cref="GridException.OutcomeUnknown"/>.
    /// </exception>
    /// <exception cref="ArgumentException">The channel, key, event or JSON is not valid.</exception>
    public Task<PublishReceipt> PublishAsync(
        string channel, Payload payload, PublishOptions? options = null, CancellationToken cancellationToken = default) =>
        PublishCoreAsync(channel, Checked(payload), options ?? new PublishOptions(), cancellationToken);

    /// <summary>Publishes a value as JSON; otherwise as <see cref="PublishAsync(string, Payload, PublishOptions?, CancellationToken)"/>.</summary>
    public Task<PublishReceipt> PublishAsync<T>(
        string channel, T value, JsonTypeInfo<T> typeInfo, PublishOptions? options = null, CancellationToken cancellationToken = default) =>
        PublishCoreAsync(
            channel, Payload.Json(JsonSerializer.SerializeToUtf8Bytes(value, typeInfo)), options ?? new PublishOptions(), cancellationToken);

    /// <summary>
    /// Publishes a value as JSON by reflection, with the property names of <see cref="JsonSerializerDefaults.Web"/>; otherwise as
    /// <see cref="PublishAsync(string, Payload, PublishOptions?, CancellationToken)"/>. For bytes, give a <see cref="Payload"/>.
    /// </summary>
    [RequiresUnreferencedCode("Serializes by reflection; give a JsonTypeInfo where code is trimmed.")]
    [RequiresDynamicCode("Serializes by reflection; give a JsonTypeInfo where code is compiled ahead of time.")]
    public Task<PublishReceipt> PublishAsync<T>(
        string channel, T value, PublishOptions? options = null, CancellationToken cancellationToken = default) =>
        PublishCoreAsync(
            channel,
            Payload.Json(JsonSerializer.SerializeToUtf8Bytes(value, JsonSerializerOptions.Web)),
            options ?? new PublishOptions(),
            cancellationToken);
}

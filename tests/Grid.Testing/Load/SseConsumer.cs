using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Grid.Testing.History;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.Testing.Load;

/// <summary>
/// A reader of one channel's Server-Sent Events, from its start, that comes back with <c>Last-Event-ID</c> whenever its stream ends, to
/// whichever host is picked. Everything is recorded for the checker.
/// </summary>
public sealed class SseConsumer : IAsyncDisposable
{
    private readonly LoadHosts _hosts;
    private readonly string _credential;
    private readonly ConsumerRecord _record;
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private RawPosition? _last;
    private Task _running = Task.CompletedTask;

    /// <summary>Makes a reader; <see cref="Start"/> begins its life.</summary>
    public SseConsumer(LoadHosts hosts, string name, string credential, HistoryRecorder recorder, string channel)
    {
        ArgumentNullException.ThrowIfNull(recorder);
        _hosts = hosts;
        _credential = credential;
        Name = name;
        Channel = channel;
        _record = recorder.Consumer(name, channel, CursorOwner.Client);
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>The channel.</summary>
    public string Channel { get; }

    /// <summary>How many streams it opened.</summary>
    public int Streams { get; private set; }

    /// <summary>How many messages it was given.</summary>
    public long Received => _record.Received;

    /// <summary>The longest time from the end of a stream to the beginning of the next.</summary>
    public TimeSpan LongestAway { get; private set; }

    /// <summary>What should not have happened.</summary>
    public ConcurrentQueue<string> Oddities { get; } = new();

    /// <summary>Completes when its first stream is open.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Begins.</summary>
    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Whether it has got to <paramref name="head"/>.</summary>
    public bool HasReached(long head) => _record.Position is { } position ? position.Offset >= head : head == 0;

    /// <summary>Says that it is over: at the head.</summary>
    public void Finish() => _record.Finished();

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        var endedAt = 0L;
        while (!_stop.IsCancellationRequested)
        {
            var open = false;
            try
            {
                using var http = new GridHttp(_hosts.Pick(), _credential);
                using var stream = await http.EventsAsync(
                    Channel, _last is { } at ? $"{at.Epoch}:{at.Offset}" : null, _last is null ? "?from=start" : "").WaitAsync(_hosts.Patience, _stop.Token).ConfigureAwait(false);
                if (stream.Status == HttpStatusCode.OK)
                {
                    Opened(endedAt);
                    open = true;
                    while (await stream.NextAsync(_stop.Token).ConfigureAwait(false) is { } e) Event(e);
                }
                else if (stream.Status != HttpStatusCode.ServiceUnavailable || !_hosts.MayBeUnavailable)
                {
                    Oddities.Enqueue($"{Name}: the stream was answered by {(int)stream.Status}");
                }
            }
            catch (Exception e) when (e is HttpRequestException or System.Net.Sockets.SocketException or IOException or TestFailedException or TimeoutException or OperationCanceledException)
            {
                // The host is gone, or hangs: on to another.
            }
            catch (Exception e)
            {
                Oddities.Enqueue($"{Name}: {e}");
                return;
            }

            if (open) endedAt = Stopwatch.GetTimestamp();
            await Task.Delay(50).ConfigureAwait(false);
        }
    }

    private void Opened(long endedAt)
    {
        Streams++;
        if (endedAt != 0 && Stopwatch.GetElapsedTime(endedAt) is var away && away > LongestAway) LongestAway = away;
        if (_last is { } position) _record.Subscribed(position.Epoch, position.Offset, position);
        _ready.TrySetResult();
    }

    private void Event(SseEvent e)
    {
        var id = e.Id ?? throw new TestFailedException($"{Name}: an event without id: {e.Data}");
        var colon = id.LastIndexOf(':');
        var position = new RawPosition(id[..colon], long.Parse(id[(colon + 1)..], System.Globalization.CultureInfo.InvariantCulture));
        var frame = new RawFrame(0, e.Data);
        if (_last is null) _record.Subscribed(position.Epoch, 0);
        if (e.Event == "gap") _record.Gap(frame.Epoch, frame.Number("from"), frame.Number("to"), frame.String("reason") ?? "");
        else _record.Message(position.Offset, frame.String("key"), frame.Payload);
        _last = position;
    }
}

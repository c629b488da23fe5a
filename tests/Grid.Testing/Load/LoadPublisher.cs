using System.Collections.Concurrent;
using Grid.Testing.History;
using Grid.Testing.Wire;

namespace Grid.Testing.Load;

/// <summary>
/// A publisher that pipelines messages with keys over one socket at a time, and after every loss of its socket sends again, in order
/// and with the same keys, whatever was not answered. Everything is recorded for the checker.
/// </summary>
public sealed class LoadPublisher : IDisposable
{
    private readonly Uri _host;
    private readonly string _token;
    private readonly HistoryRecorder _recorder;
    private readonly IReadOnlyList<string> _channels;
    private readonly Random _random;
    private readonly Lock _gate = new();
    private readonly LinkedList<PublishRecord> _pending = new();
    private readonly Dictionary<long, PublishRecord> _byId = [];
    private readonly SemaphoreSlim _progress = new(0);
    private readonly Action _acknowledged;
    private volatile bool _goaway;
    private volatile RawClient? _client;

    /// <summary>Makes a publisher.</summary>
    /// <param name="host">The host.</param>
    /// <param name="name">Its name, part of its keys.</param>
    /// <param name="token">Its client token.</param>
    /// <param name="recorder">Where everything is recorded.</param>
    /// <param name="channels">The channels it picks from at random.</param>
    /// <param name="random">Its own source of chance.</param>
    /// <param name="acknowledged">Called at each acknowledgement.</param>
    public LoadPublisher(
        Uri host, string name, string token, HistoryRecorder recorder, IReadOnlyList<string> channels, Random random,
        Action? acknowledged = null)
    {
        _host = host;
        Name = name;
        _token = token;
        _recorder = recorder;
        _channels = channels;
        _random = random;
        _acknowledged = acknowledged ?? (() => { });
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>The most messages in flight. Default: 32.</summary>
    public int Window { get; init; } = 32;

    /// <summary>Makes the payload of a message; by default a small object. Must be unique.</summary>
    public Func<string, long, string> Payload { get; init; } = (name, n) => $$"""{"by":"{{name}}","n":{{n}}}""";

    /// <summary>What should not have happened: errors, and closes that no kill or drain explains.</summary>
    public ConcurrentQueue<string> Oddities { get; } = new();

    /// <summary>Cuts its socket.</summary>
    public void Cut() => _client?.Abort();

    /// <summary>Publishes <paramref name="count"/> messages and returns when each has been acknowledged.</summary>
    public async Task RunAsync(int count, CancellationToken cancellationToken)
    {
        long next = 0;
        while (true)
        {
            await using var client = await ConnectAsync(cancellationToken).ConfigureAwait(false);
            _client = client;
            Resend(client);
            while (!client.Closed.IsCompleted && !_goaway)
            {
                int open;
                lock (_gate) open = _pending.Count;
                if (open == 0 && next == count) return;
                if (open < Window && next < count)
                {
                    PublishNext(client, next++);
                    continue;
                }

                await _progress.WaitAsync(cancellationToken).ConfigureAwait(false);
            }

            var close = await client.Closed.WaitAsync(cancellationToken).ConfigureAwait(false);
            if (close.Code is not (1006 or 4000)) Oddities.Enqueue($"{Name}: closed with {close.Code} '{close.Reason}'");
            lock (_gate)
            {
                foreach (var record in _pending) record.OutcomeUnknown();
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _progress.Dispose();

    /// <summary>Connects a client, trying until the host is there.</summary>
    internal static async Task<RawClient> ConnectPatientlyAsync(
        Uri host, RawClientOptions options, Func<RawResume?> resume, CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                return await RawClient.OpenAsync(host, options, resume()).ConfigureAwait(false);
            }
            catch (Exception e) when (e is System.Net.WebSockets.WebSocketException or TestFailedException or IOException or OperationCanceledException)
            {
                // The host is down, or went down in the handshake: try again soon.
                await Task.Delay(50, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task<RawClient> ConnectAsync(CancellationToken cancellationToken)
    {
        _goaway = false;
        var options = new RawClientOptions
        {
            Token = _token, Name = Name, KeptFrames = 50, OnFrame = Received, OnEnd = _ => _progress.Release(),
        };
        return await ConnectPatientlyAsync(_host, options, () => null, cancellationToken).ConfigureAwait(false);
    }

    private void Resend(RawClient client)
    {
        lock (_gate)
        {
            _byId.Clear();
            foreach (var record in _pending) Post(client, record);
        }
    }

    private void PublishNext(RawClient client, long number)
    {
        var channel = _channels[_random.Next(_channels.Count)];
        var record = _recorder.Publish(Name, channel, $"{Name}-{number}", number, Payload(Name, number));
        lock (_gate)
        {
            _pending.AddLast(record);
            Post(client, record);
        }
    }

    private void Post(RawClient client, PublishRecord record)
    {
        var id = client.NextId();
        _byId[id] = record.Sending();
        client.Send(ClientFrames.Publish(id, record.Channel, record.Payload, record.Key));
    }

    private void Received(RawFrame frame)
    {
        switch (frame.Type)
        {
            case "published":
                Answered(frame);
                break;
            case "error":
                Oddities.Enqueue($"{Name}: {frame}");
                // Its outcome is unknown; a new socket sends it again, in order.
                _client?.Abort();
                break;
            case "goaway":
                _goaway = true;
                _progress.Release();
                break;
        }
    }

    private void Answered(RawFrame frame)
    {
        lock (_gate)
        {
            if (!_byId.Remove(frame.Id ?? -1, out var record))
            {
                Oddities.Enqueue($"{Name}: an answer to nothing: {frame}");
                return;
            }

            if (record.Channel != frame.Channel) Oddities.Enqueue($"{Name}: the answer names another channel: {frame}");
            record.Acknowledged(frame.Epoch, frame.Offset, frame.Json.GetProperty("duplicate").GetBoolean());
            _pending.Remove(record);
        }

        _acknowledged();
        _progress.Release();
    }
}

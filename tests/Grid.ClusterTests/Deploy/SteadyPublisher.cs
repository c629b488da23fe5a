using Grid.Testing.History;
using Grid.Testing.Hosting;

namespace Grid.ClusterTests.Deploy;

/// <summary>
/// Publishes over HTTP through a balancer, about fifty messages a second, each with a key and again until it is acknowledged.
/// </summary>
internal sealed class SteadyPublisher(Uri address, string apiKey, string channel, HistoryRecorder history) : IAsyncDisposable
{
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(20);
    private readonly GridHttp _http = new(address, apiKey);
    private readonly CancellationTokenSource _stop = new();
    private Task _running = Task.CompletedTask;
    private int _acknowledged;

    /// <summary>How many were acknowledged.</summary>
    public int Acknowledged => Volatile.Read(ref _acknowledged);

    /// <summary>Answers that were no success, each tried again.</summary>
    public List<string> Refused { get; } = [];

    /// <summary>Begins.</summary>
    public void Start() => _running = Task.Run(RunAsync);

    /// <summary>Ends once the message on its way is acknowledged.</summary>
    public async Task FinishAsync()
    {
        await _stop.CancelAsync();
        await _running;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await FinishAsync();
        _http.Dispose();
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        for (var n = 0; !_stop.IsCancellationRequested; n++)
        {
            var record = history.Publish("steady", channel, $"steady-{n}", n, $$"""{"n":{{n}}}""");
            while (!await TryAsync(record)) await Task.Delay(Pace);
            Interlocked.Increment(ref _acknowledged);
            await Task.Delay(Pace);
        }
    }

    private async Task<bool> TryAsync(PublishRecord record)
    {
        record.Sending();
        try
        {
            var answer = await _http.PostAsync(
                GridHttp.ChannelPath(channel, "/messages"), $$"""{"data":{{record.Payload}}}""", KeyValuePair.Create("Idempotency-Key", record.Key!));
            if ((int)answer.Status == 200)
            {
                var duplicate = answer.Json.GetProperty("duplicate").GetBoolean();

                // The balancer, too, sends what has a key again when a silo that it was sent to gave no answer.
                if (duplicate) record.Sending();
                record.Acknowledged(answer.Json.GetProperty("epoch").GetString()!, answer.Json.GetProperty("offset").GetInt64(), duplicate);
                return true;
            }

            lock (Refused) Refused.Add($"{(int)answer.Status} {answer.Text}");
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException)
        {
            lock (Refused) Refused.Add(e.Message);
        }

        record.OutcomeUnknown();
        return false;
    }
}

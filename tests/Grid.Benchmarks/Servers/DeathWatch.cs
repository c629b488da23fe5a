using System.Diagnostics;
using Npgsql;

namespace Grid.Benchmarks.Servers;

/// <summary>
/// Looks at the membership table on a connection of its own, forty times a second, and notes when one more silo in it is dead: from
/// then on every silo is told so.
/// </summary>
internal sealed class DeathWatch : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(25);

    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _looking = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _watching;
    private long _at;

    /// <summary>Starts to look; returns once it knows who is dead already.</summary>
    public DeathWatch(string connectionString)
    {
        _watching = Task.Run(() => WatchAsync(connectionString));
        Task.WaitAny(_looking.Task, _watching);
    }

    /// <summary>When it was seen, in ticks of the stopwatch; 0 for not yet.</summary>
    public long At => Volatile.Read(ref _at);

    public void Dispose()
    {
        _stop.Cancel();
        _watching.Wait(TimeSpan.FromSeconds(5));
        _stop.Dispose();
    }

    private async Task WatchAsync(string connectionString)
    {
        try
        {
            await using var connection = new NpgsqlConnection(connectionString);
            await connection.OpenAsync(_stop.Token);
            await using var command = new NpgsqlCommand(GridCluster.DeadSilos, connection);
            await command.PrepareAsync(_stop.Token);
            var before = await command.ExecuteScalarAsync(_stop.Token);
            _looking.SetResult();
            using var timer = new PeriodicTimer(Interval);
            while (await timer.WaitForNextTickAsync(_stop.Token))
            {
                if (Equals(await command.ExecuteScalarAsync(_stop.Token), before)) continue;
                Volatile.Write(ref _at, Stopwatch.GetTimestamp());
                return;
            }
        }
        catch (OperationCanceledException)
        {
        }
    }
}

using System.Collections.Concurrent;
using Grid.Server.Relay;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Gateway;

/// <summary>
/// Lets the subscriptions of one consumer that are behind read on, in turn, as its socket drains. Runs only while there are such.
/// </summary>
internal sealed partial class CatchUpPump(OutboundBuffer outbound, TimeProvider time, ILogger logger)
    : IThreadPoolWorkItem
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);
    private readonly ConcurrentQueue<Subscription> _behind = new();
    private int _running;

    /// <summary>Takes a subscription that is behind.</summary>
    public void Add(Subscription subscription)
    {
        _behind.Enqueue(subscription);
        if (Interlocked.Exchange(ref _running, 1) == 0) ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    void IThreadPoolWorkItem.Execute() => _ = RunAsync();

    private async Task RunAsync()
    {
        do
        {
            while (_behind.TryDequeue(out var subscription))
            {
                try
                {
                    await outbound.WaitForRoomAsync();
                    if (outbound.IsClosed) return;
                    var before = subscription.Cursor;
                    if (!await subscription.Channel.CatchUpAsync(subscription)) continue;

                    // A message larger than the room there is goes out alone.
                    if (subscription.Cursor == before) await outbound.FlushAsync();
                    _behind.Enqueue(subscription);
                }
                catch (Exception e)
                {
                    // The log or a grain is away for the moment; the cursor has not moved, so nothing is lost by trying again.
                    LogCatchUpFailed(subscription.Id, e);
                    _behind.Enqueue(subscription);
                    await Task.Delay(Pause, time, CancellationToken.None);
                }
            }

            Volatile.Write(ref _running, 0);
        }
        while (!_behind.IsEmpty && Interlocked.Exchange(ref _running, 1) == 0);
    }

    [LoggerMessage(LogLevel.Warning, "A subscription to {Channel} could not read on; trying again")]
    private partial void LogCatchUpFailed(Abstractions.ChannelId channel, Exception exception);
}

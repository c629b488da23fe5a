using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Relay;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Channels;

/// <summary>Waits for the publishes under way.</summary>
internal interface IPublishBarrier
{
    /// <summary>
    /// Waits until every publish that has begun by now, on any silo, is answered, or never will be. So what is answered after it was stored
    /// after it was called.
    /// </summary>
    /// <exception cref="LogUnavailableException">A silo did not tell, and is not known to be dead.</exception>
    Task PassAsync();
}

/// <inheritdoc/>
internal sealed partial class PublishBarrier(ISiloRelays relays, TimeProvider time, ILogger<PublishBarrier> logger) : IPublishBarrier
{
    /// <summary>How long a silo is asked. Longer than it takes to find out that one is dead, with the settings that are the default.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(12);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <inheritdoc/>
    public async Task PassAsync() => await Task.WhenAll((await relays.GetMembersAsync()).Select(AskAsync));

    private async Task AskAsync(SiloAddress silo)
    {
        var started = time.GetTimestamp();
        while (true)
        {
            try
            {
                // The own silo is no call, and has no limit by itself.
                await relays.On(silo).WaitForPublishesAsync().WaitAsync(Patience, time);
                return;
            }
            catch (Exception e)
            {
                // Who published there has no answer, and gets none, if it is dead.
                if (!(await relays.GetMembersAsync()).Contains(silo)) return;
                var level = Outage.LevelOf(e);
                LogNotTold(level, silo, e);
                if (time.GetElapsedTime(started) >= Patience) throw new LogUnavailableException($"{silo} does not answer.", e);
            }

            await Task.Delay(Pause, time);
        }
    }

    [LoggerMessage("{Silo} did not tell when the publishes that it has under way are answered; asking again")]
    private partial void LogNotTold(LogLevel level, SiloAddress silo, Exception exception);
}

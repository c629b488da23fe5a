using Grid.Server.Log;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Store;
using Grid.UnitTests.Webhooks.Api;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Webhooks;

/// <summary>What the sweep drops when it is old.</summary>
public sealed class WebhookSweepTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    [Fact]
    public async Task Attempts_that_cannot_be_dropped_do_not_keep_the_dead_letters()
    {
        var time = new Clock();
        var dropped = new TaskCompletionSource<DateTimeOffset>(TaskCreationOptions.RunContinuationsAsynchronously);
        var store = Answering.Make<IWebhookStore>((method, arguments) =>
        {
            if (method == nameof(IWebhookStore.DropAttemptsAsync)) throw new LogUnavailableException("It takes too long.");
            if (method == nameof(IWebhookStore.DropDeadLettersAsync)) dropped.TrySetResult((DateTimeOffset)arguments[0]!);
            return ValueTask.CompletedTask;
        });
        var silos = Answering.Make<ISiloStatusOracle>(static (method, _) => method == "get_CurrentStatus" ? SiloStatus.Joining : true);
        using var sweep = new WebhookSweep(
            store, Answering.Silent<IGrainFactory>(), Answering.Silent<ILocalSiloDetails>(), silos,
            Options.Create(new WebhookOptions { AttemptRetention = TimeSpan.FromDays(2) }), time, NullLogger<WebhookSweep>.Instance);
        await sweep.StartAsync(CancellationToken.None);
        await time.Started.Task.WaitAsync(Limit);
        time.Advance(Hour);
        Assert.Equal(TimeSpan.FromDays(2), time.GetUtcNow() - await dropped.Task.WaitAsync(Limit));
        await sweep.StopAsync(CancellationToken.None);
    }

    /// <summary>Tells when the sweep waits for the next hour.</summary>
    private sealed class Clock() : FakeTimeProvider(new DateTimeOffset(2026, 1, 10, 12, 0, 0, TimeSpan.Zero))
    {
        public TaskCompletionSource Started { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            if (period == Hour) Started.TrySetResult();
            return timer;
        }
    }
}

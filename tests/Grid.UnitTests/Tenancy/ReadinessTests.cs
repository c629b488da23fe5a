using Grid.Server.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Tenancy;

public sealed class ReadinessTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly Readiness _readiness;

    public ReadinessTests() => _readiness = new Readiness(_time, NullLogger<Readiness>.Instance);

    [Fact]
    public async Task Without_checks_a_process_is_ready_until_it_drains()
    {
        Assert.True((await _readiness.CheckAsync()).Ready);
        _readiness.Draining = true;
        Assert.False((await _readiness.CheckAsync()).Ready);
    }

    [Fact]
    public async Task A_check_that_hangs_does_not_hold()
    {
        var started = new TaskCompletionSource();
        _readiness.Add("store", async token =>
        {
            started.SetResult();
            await new TaskCompletionSource().Task.WaitAsync(CancellationToken.None);
            return true;
        });
        var report = _readiness.CheckAsync().AsTask();
        await started.Task;
        while (!report.IsCompleted)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        Assert.False((await report).Ready);
        Assert.False((await report).Checks["store"]);
    }

    [Fact]
    public async Task Many_who_ask_at_once_run_the_checks_once_and_later_ones_again()
    {
        var runs = 0;
        _readiness.Add("store", _ => new(Interlocked.Increment(ref runs) > 0));
        await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => _readiness.CheckAsync().AsTask()));
        Assert.Equal(1, runs);
        _time.Advance(TimeSpan.FromMilliseconds(500));
        await _readiness.CheckAsync();
        Assert.Equal(2, runs);
    }
}

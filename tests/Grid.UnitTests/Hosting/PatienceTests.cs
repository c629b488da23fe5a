using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Testing;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Hosting;

public sealed class PatienceTests
{
    private readonly CountingTime _time = new();
    private int _calls;

    private Task<int> CallAsync(Patience patience, Func<int, Exception?> failure) => patience.CallAsync(
        () =>
        {
            var call = Interlocked.Increment(ref _calls);
            return failure(call) is { } e ? Task.FromException<int>(e) : Task.FromResult(call);
        },
        TimeSpan.FromSeconds(8));

    [Fact]
    public async Task What_succeeds_is_called_once()
    {
        Assert.Equal(1, await CallAsync(new Patience(_time), _ => null));
    }

    [Fact]
    public async Task A_call_that_a_silos_end_cut_off_is_made_again_at_once_when_the_cluster_has_noticed_it()
    {
        var patience = new Patience(_time);
        var call = CallAsync(patience, n => n == 1 ? new OrleansException("gone") : null);
        Assert.False(call.IsCompleted);
        patience.OnClusterChanged();
        Assert.Equal(2, await call.WaitAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task News_that_comes_while_a_call_fails_is_not_missed()
    {
        var patience = new Patience(_time);
        var call = CallAsync(patience, n =>
        {
            if (n > 1) return null;
            patience.OnClusterChanged();
            return new TimeoutException();
        });
        Assert.Equal(2, await call.WaitAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task Without_news_the_pauses_grow_to_a_second()
    {
        var call = CallAsync(new Patience(_time), n => n < 8 ? new TimeoutException() : null);
        var calls = 1;
        foreach (var pause in (int[])[50, 100, 200, 400, 800, 1000, 1000])
        {
            await _time.PausedAsync(calls);
            _time.Advance(TimeSpan.FromMilliseconds(pause - 1));
            Assert.Equal(calls++, _calls);
            _time.Advance(TimeSpan.FromMilliseconds(1));
            using var deadline = TestDeadline.In(30);
            await deadline.UntilAsync(() => _calls == calls, () => $"call {calls} after a pause of {pause} ms");
        }

        Assert.Equal(8, await call);
    }

    [Fact]
    public async Task The_more_calls_wait_the_longer_are_their_pauses()
    {
        var patience = new Patience(_time);
        var calls = Enumerable.Range(0, 500).Select(_ => CallAsync(patience, n => n <= 500 ? new TimeoutException() : null)).ToArray();
        await _time.PausedAsync(500);
        _time.Advance(TimeSpan.FromMilliseconds(150));
        using (var deadline = TestDeadline.In(30)) await deadline.UntilAsync(() => _calls > 500, () => "those that came first try again");
        Assert.InRange(_calls, 501, 560);
        patience.OnClusterChanged();
        await Task.WhenAll(calls).WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(1000, _calls);
    }

    [Fact]
    public async Task It_ends()
    {
        var patience = new Patience(_time);
        var call = CallAsync(patience, _ => new TimeoutException("the last"));
        await _time.PausedAsync(1);
        _time.Advance(TimeSpan.FromSeconds(8));
        Assert.Equal("the last", (await Assert.ThrowsAsync<TimeoutException>(() => call.WaitAsync(TimeSpan.FromSeconds(30)))).Message);
        Assert.Equal(2, _calls);
    }

    [Fact]
    public async Task A_call_that_expired_in_the_runtime_is_made_again_and_ends_as_one_that_took_too_long()
    {
        var patience = new Patience(_time);
        Assert.Equal(2, await Changing(patience, CallAsync(patience, n => n == 1 ? new OperationCanceledException() : null)));
        _calls = 0;
        var call = CallAsync(patience, _ => new OperationCanceledException());
        await _time.PausedAsync(2);
        _time.Advance(TimeSpan.FromSeconds(8));
        await Assert.ThrowsAsync<TimeoutException>(() => call.WaitAsync(TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task A_store_that_is_away_is_not_waited_for()
    {
        await Assert.ThrowsAsync<LogUnavailableException>(() => CallAsync(new Patience(_time), _ => new LogUnavailableException("away")));
        await Assert.ThrowsAsync<InvalidOperationException>(() => CallAsync(new Patience(_time), _ => new InvalidOperationException()));
        Assert.Equal(2, _calls);
    }

    private static Task<int> Changing(Patience patience, Task<int> call)
    {
        patience.OnClusterChanged();
        return call.WaitAsync(TimeSpan.FromSeconds(30));
    }

    /// <summary>Time that tells how many pauses were begun: it must not go on before one is.</summary>
    private sealed class CountingTime : FakeTimeProvider
    {
        private int _timers;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            Interlocked.Increment(ref _timers);
            return timer;
        }

        public async Task PausedAsync(int times)
        {
            using var deadline = TestDeadline.In(30);
            await deadline.UntilAsync(() => Volatile.Read(ref _timers) == times, () => $"pause {times} begins");
        }
    }
}

using Grid.Server.Channels;

namespace Grid.UnitTests.Channels;

/// <summary>Waiting for the publishes that have begun by a moment.</summary>
public sealed class PublishesUnderWayTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private readonly PublishesUnderWay _publishes = new();

    [Fact]
    public void Without_publishes_there_is_nothing_to_wait_for()
    {
        Assert.True(_publishes.WaitAsync().IsCompletedSuccessfully);
        _publishes.Begin().Dispose();
        Assert.True(_publishes.WaitAsync().IsCompletedSuccessfully);
    }

    [Fact]
    public async Task Those_that_began_before_are_waited_for_and_no_others()
    {
        var (first, second) = (_publishes.Begin(), _publishes.Begin());
        var wait = _publishes.WaitAsync();
        var later = _publishes.Begin();
        first.Dispose();
        Assert.False(wait.IsCompleted);
        second.Dispose();
        await wait.WaitAsync(Limit);
        later.Dispose();
    }

    [Fact]
    public async Task A_later_wait_waits_for_the_oldest_too()
    {
        var old = _publishes.Begin();
        var first = _publishes.WaitAsync();
        _publishes.Begin().Dispose();
        var second = _publishes.WaitAsync();
        Assert.False(second.IsCompleted);
        old.Dispose();
        await Task.WhenAll(first, second).WaitAsync(Limit);
    }

    [Fact]
    public async Task Many_at_once_lose_no_count()
    {
        var stop = false;
        var begun = new long[2];
        var over = new long[2];

        // Threads of their own: in the pool they would leave none for what they wait for to end on.
        var publishers = begun.Select((_, i) => Task.Factory.StartNew(
            () => Publish(i), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)).ToArray();
        for (var round = 0; round < 500; round++)
        {
            var before = begun.Select((_, i) => Volatile.Read(ref begun[i])).ToArray();
            await _publishes.WaitAsync().WaitAsync(Limit);
            for (var i = 0; i < before.Length; i++) Assert.True(Volatile.Read(ref over[i]) >= before[i]);
        }

        Volatile.Write(ref stop, true);
        await Task.WhenAll(publishers);
        await _publishes.WaitAsync().WaitAsync(Limit);

        void Publish(int i)
        {
            while (!Volatile.Read(ref stop))
            {
                using var publish = _publishes.Begin();

                // As the number of one that has begun: what is waited for then must be over.
                Volatile.Write(ref begun[i], begun[i] + 1);
                Volatile.Write(ref over[i], begun[i]);
            }
        }
    }
}

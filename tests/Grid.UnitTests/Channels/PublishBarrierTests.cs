using System.Net;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Log;
using Grid.Server.Relay;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Channels;

/// <summary>Waiting for the publishes of all silos, some of which do not answer.</summary>
public sealed class PublishBarrierTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private readonly Cluster _cluster = new();
    private readonly FakeTimeProvider _time = new();
    private readonly PublishBarrier _barrier;

    public PublishBarrierTests() => _barrier = new PublishBarrier(_cluster, _time, NullLogger<PublishBarrier>.Instance);

    [Fact]
    public async Task Every_member_is_waited_for()
    {
        var (first, second) = (new TaskCompletionSource(), new TaskCompletionSource());
        _cluster.Add(1, () => first.Task);
        _cluster.Add(2, () => second.Task);
        var pass = _barrier.PassAsync();
        first.SetResult();
        Assert.False(pass.IsCompleted);
        second.SetResult();
        await pass.WaitAsync(Limit);
    }

    [Fact]
    public async Task A_member_that_fails_is_asked_again()
    {
        var asked = 0;
        _cluster.Add(1, () => ++asked < 4 ? throw new TimeoutException() : Task.CompletedTask);
        await UntilAsync(_barrier.PassAsync());
        Assert.Equal(4, asked);
    }

    [Fact]
    public async Task A_member_that_is_dead_answers_nobody_any_more()
    {
        _cluster.Add(1, () => Task.CompletedTask);
        var dead = _cluster.Add(2, () => throw new SiloUnavailableException());
        var pass = _barrier.PassAsync();
        Assert.False(pass.IsCompleted);
        _cluster.Remove(dead);
        await UntilAsync(pass);
    }

    [Fact]
    public async Task A_member_that_neither_answers_nor_is_dead_fails_the_call()
    {
        _cluster.Add(1, () => throw new TimeoutException());
        await Assert.ThrowsAsync<LogUnavailableException>(() => UntilAsync(_barrier.PassAsync()));
    }

    [Fact]
    public async Task A_member_that_waits_for_ever_fails_the_call()
    {
        _cluster.Add(1, () => new TaskCompletionSource().Task);
        await Assert.ThrowsAsync<LogUnavailableException>(() => UntilAsync(_barrier.PassAsync()).WaitAsync(Limit));
    }

    private async Task UntilAsync(Task task)
    {
        while (!task.IsCompleted)
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Yield();
        }

        await task;
    }

    /// <summary>Silos that answer what the test says.</summary>
    private sealed class Cluster : ISiloRelays
    {
        private readonly Dictionary<SiloAddress, ISiloRelay> _members = [];

        public SiloAddress Add(int number, Func<Task> wait)
        {
            var silo = SiloAddress.New(new IPEndPoint(IPAddress.Loopback, 11_000 + number), number);
            _members.Add(silo, new Relay(wait));
            return silo;
        }

        public void Remove(SiloAddress silo) => _members.Remove(silo);

        public ISiloRelay On(SiloAddress silo) => _members[silo];

        public IReadOnlyCollection<SiloAddress> LiveSilos() => throw new NotSupportedException();

        public ValueTask<IReadOnlyCollection<SiloAddress>> GetMembersAsync() => new(_members.Keys.ToArray());

        public bool IsLive(SiloAddress silo) => throw new NotSupportedException();
    }

    private sealed class Relay(Func<Task> wait) : ISiloRelay
    {
        public Task WaitForPublishesAsync() => wait();

        public Task<DeliverAck> DeliverAsync(DeliverBatch batch) => throw new NotSupportedException();

        public Task<DeliverAck> GetInterestAsync(ChannelId channel) => throw new NotSupportedException();

        public Task<long> CountSubscribersAsync(ChannelId channel) => throw new NotSupportedException();

        public Task<bool> FenceAsync(string tenant, string session, long generation, CloseCode code) => throw new NotSupportedException();

        public Task<bool> HoldsAsync(string tenant, string session, long generation) => throw new NotSupportedException();

        public Task<ConnectedSession[]> ListSessionsAsync(string tenant, string user, int limit) => throw new NotSupportedException();
    }
}

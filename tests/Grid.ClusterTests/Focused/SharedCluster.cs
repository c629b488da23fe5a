using Grid.ClusterTests.Cluster;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.ClusterTests.Focused;

/// <summary>One cluster of three silos for all focused tests. Each test begins with it whole, whatever the one before did to it.</summary>
public sealed class SharedCluster : IAsyncLifetime
{
    private int _names;

    internal TestCluster Cluster { get; private set; } = null!;

    public async Task InitializeAsync() => Cluster = await TestCluster.StartAsync(
        silos: 3,
        [
            new("Grid__CheckpointInterval", "00:00:01"), new("Grid__Heartbeat", "00:00:05"), new("Grid__DrainSpan", "00:00:01"),
            new("Grid__Namespaces__live__Durability", "Ephemeral"), new("Grid__Webhooks__AllowPrivateNetworks", "true"),

            // Requests that tests hold wait for the test, not for the time that it takes.
            new("Grid__Webhooks__RequestTimeout", "00:01:00"),
        ]);

    public async Task DisposeAsync() => await Cluster.DisposeAsync();

    /// <summary>A channel that no other test uses.</summary>
    internal string NewChannel(string ns = "room") => $"{ns}:{Interlocked.Increment(ref _names)}";

    /// <summary>Starts what is away, and waits until all silos are ready and form one cluster.</summary>
    internal async Task WholeAsync()
    {
        await Task.WhenAll(Cluster.Silos.Where(s => !s.Wanted).Select(s => s.StartAsync()));
        await Cluster.TogetherAsync(TimeSpan.FromSeconds(120));
    }
}

/// <summary>The tests that share a cluster, while no other test runs.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class SharedClusterTests : ICollectionFixture<SharedCluster>
{
    public const string Name = "shared cluster";
}

/// <summary>A test on the shared cluster.</summary>
[Collection(SharedClusterTests.Name)]
public abstract class FocusedTest(SharedCluster shared) : IAsyncLifetime
{
    internal TestCluster Cluster => shared.Cluster;

    internal IReadOnlyList<TestSilo> Silos => shared.Cluster.Silos;

    public Task InitializeAsync() => shared.WholeAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    internal string NewChannel(string ns = "room") => shared.NewChannel(ns);

    /// <summary>Runs a test's body; when it fails, what the silos wrote is part of the message.</summary>
    internal async Task OrTailsAsync(Func<Task> body)
    {
        try
        {
            await body();
        }
        catch (Exception e)
        {
            throw new TestFailedException($"{e.Message}\n{Cluster.Tails(40)}", e);
        }
    }

    /// <summary>
    /// Resumes a session on a silo, trying again as a client does that is closed with 4003: a silo may not have noticed yet where the
    /// session lives now, or that a store is back.
    /// </summary>
    internal static async Task<RawClient> ResumeAsync(TestSilo silo, RawResume resume)
    {
        using var deadline = TestDeadline.In(60);
        while (true)
        {
            var client = await RawClient.ConnectAsync(silo.Address, new RawClientOptions { Token = silo.Host.ApiKey, Name = "resuming" });
            try
            {
                await client.HelloAsync(resume);
                return client;
            }
            catch (TestFailedException) when (!deadline.Passed)
            {
                var close = await client.ClosedAsync();
                await client.DisposeAsync();
                if (close.Code != 4003) throw;
            }
        }
    }

    /// <summary>A caller of a silo's API.</summary>
    internal static GridHttp HttpOf(TestSilo silo) => silo.Http();
}

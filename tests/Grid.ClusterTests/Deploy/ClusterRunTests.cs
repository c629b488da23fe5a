using Grid.Testing;
using Grid.Testing.History;
using Grid.Testing.Hosting;
using Grid.Testing.Load;

namespace Grid.ClusterTests.Deploy;

/// <summary>A whole cluster as <c>deploy/cluster.sh</c> runs it: real silos, PostgreSQL, Redis and HAProxy.</summary>
[Collection(PublishedHostTests.Name)]
public sealed class ClusterRunTests(PublishedHost host)
{
    private const string Channel = "room:1";

    [Fact]
    public async Task A_cluster_lives_through_a_crash_and_a_roll_out()
    {
        using var deadline = TestDeadline.In(400);
        await using var cluster = new ScriptCluster(host.App);
        Assert.Contains(cluster.Address.ToString().TrimEnd('/'), (await cluster.RunAsync("up")).Ok().Output, StringComparison.Ordinal);
        await VerifyStartAsync(cluster);

        // Everybody comes in through the balancer, which spreads them over the silos.
        var history = new HistoryRecorder();
        using var http = new GridHttp(cluster.Address, cluster.ApiKey);
        await using var publisher = new SteadyPublisher(cluster.Address, cluster.ApiKey, Channel, history);
        var consumers = new List<LoadConsumer>();

        // Until the cluster has noticed that a silo died, sessions that were there cannot be taken up.
        var hosts = new LoadHosts(() => cluster.Address) { MayBeUnavailable = true };
        try
        {
            for (var i = 0; i < 9; i++)
            {
                var owner = i % 3 == 0 ? CursorOwner.Server : CursorOwner.Client;
                consumers.Add(new LoadConsumer(hosts, $"consumer-{i}", await http.TokenAsync($"user-{i}"), history, [Channel], owner));
                consumers[^1].Start();
            }

            await Task.WhenAll(consumers.Select(c => c.Ready)).WaitAsync(deadline.Token);
            publisher.Start();
            await GoesOnAsync(publisher, consumers, deadline);

            // A crash.
            var before = cluster.Processes();
            (await cluster.RunAsync("kill", "2")).Ok();
            await GoesOnAsync(publisher, consumers, deadline);
            Assert.Equal(1, (await cluster.RunAsync("status")).ExitCode);
            (await cluster.RunAsync("start", "2")).Ok();
            (await cluster.RunAsync("status")).Ok();
            await GoesOnAsync(publisher, consumers, deadline);
            Assert.NotEqual(before["silo-2"], cluster.Processes()["silo-2"]);

            // A roll-out: every silo is another process after it, and nobody else.
            before = cluster.Processes();
            (await cluster.RunAsync("roll")).Ok();
            var after = cluster.Processes();
            Assert.Equal(["silo-1", "silo-2", "silo-3"], before.Keys.Where(name => before[name] != after[name]).Order(StringComparer.Ordinal));
            await GoesOnAsync(publisher, consumers, deadline);
            await publisher.FinishAsync();

            var stored = await http.HistoryAsync(Channel);
            foreach (var consumer in consumers)
                await deadline.UntilAsync(() => consumer.HasReached(Channel, stored.Head), () => $"{consumer.Name} reaches {stored.Head}");
            history.Stored(stored);
            foreach (var consumer in consumers) consumer.Finish();
            var report = HistoryChecker.Check(history);
            Assert.True(report.IsClean, $"{report}\n{string.Join('\n', consumers.SelectMany(c => c.Oddities))}");
            Assert.Empty(consumers.SelectMany(c => c.Oddities));
        }
        finally
        {
            foreach (var consumer in consumers) await consumer.DisposeAsync();
        }

        (await cluster.RunAsync("down", "--wipe")).Ok();
        await deadline.UntilAsync(() => cluster.Leftovers().Count == 0, () => $"no process is left: {string.Join('\n', cluster.Leftovers())}");
        Assert.False(Directory.Exists(cluster.Folder));
    }

    private static async Task VerifyStartAsync(ScriptCluster cluster)
    {
        // Said again it changes nothing.
        var processes = cluster.Processes();
        (await cluster.RunAsync("up")).Ok();
        Assert.Equal(processes, cluster.Processes());
        Assert.Equal(["haproxy", "postgres", "redis", "silo-1", "silo-2", "silo-3"], processes.Keys.Order(StringComparer.Ordinal));

        var status = (await cluster.RunAsync("status")).Ok().Output;
        Assert.Equal(3, status.Split('\n').Count(line => line.StartsWith("silo ", StringComparison.Ordinal) && line.Contains(" ready ", StringComparison.Ordinal)));
        Assert.Equal(3, status.Split('\n').Count(line => line.Contains("  active  ", StringComparison.Ordinal)));

        // Its secrets are its owner's alone, and on no command line.
        var secrets = Directory.GetFiles(Path.Combine(cluster.Folder, "run"));
        Assert.All(secrets, file => Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file)));
        Assert.All(processes.Values, id => Assert.DoesNotContain(cluster.ApiKey, File.ReadAllText($"/proc/{id}/cmdline"), StringComparison.Ordinal));

        // The balancer's word on who the client is reaches the silos: a visitor from this machine may have the playground's token.
        using var http = new GridHttp(cluster.Address, null);
        (await http.SendAsync(HttpMethod.Post, "/playground/token")).Ok();
        Assert.Equal(403, await RawHttp.StatusAsync(cluster.Address, "/metrics"));
        Assert.Equal(403, await RawHttp.StatusAsync(cluster.Address, "/dashboard"));
    }

    /// <summary>Waits until further messages were acknowledged and every consumer has them.</summary>
    private static async Task GoesOnAsync(SteadyPublisher publisher, List<LoadConsumer> consumers, TestDeadline deadline)
    {
        var target = publisher.Acknowledged + 50;
        await deadline.UntilAsync(() => publisher.Acknowledged >= target, () => $"{target} publishes; the last refusals: {string.Join('\n', publisher.Refused.TakeLast(5))}");
        foreach (var consumer in consumers)
            await deadline.UntilAsync(() => consumer.HasReached(Channel, target), () => $"{consumer.Name} reaches {target}\n{string.Join('\n', consumer.Oddities)}");
    }
}

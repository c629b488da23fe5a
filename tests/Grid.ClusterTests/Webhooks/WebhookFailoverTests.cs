using System.Net;
using System.Text.Json;
using Grid.ClusterTests.Cluster;
using Grid.ClusterTests.Focused;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Webhooks;
using Xunit.Abstractions;

namespace Grid.ClusterTests.Webhooks;

/// <summary>
/// Silos and stores go away in mid-delivery, and nothing is published afterwards that would wake anybody. Whoever takes a subscription over
/// signs with what another silo encrypted: each has a user's folder of its own, so that the keys can only be in the store.
/// </summary>
public class WebhookFailoverTests(SharedCluster shared, ITestOutputHelper output) : FocusedTest(shared)
{
    /// <summary>How many messages each subscription delivers before the fault.</summary>
    private const int Before = 150;

    /// <summary>How many of them right before it, so that not all of them are stored as delivered.</summary>
    private const int Late = 50;

    [Fact]
    public Task A_killed_silos_webhooks_go_on_elsewhere_without_losing_or_reordering_anything() => OrTailsAsync(async () =>
    {
        using var deadline = TestDeadline.In(120);
        await using var scene = new WebhookScene(Cluster, NewChannel());
        var victim = await InMidDeliveryAsync(scene, deadline);
        foreach (var hook in scene.Hooks) hook.MayOverlap = true;
        await victim.KillAsync();
        await scene.MarkAsync();
        foreach (var hook in scene.Hooks) hook.Release();
        await MakeAsync(Silos.First(s => s != victim), deadline);
        await scene.JudgeAsync(Silos.First(s => s != victim), deadline);
        output.WriteLine(scene.Describe());

        // The judgement says of what was stored that it did not come again: there was something.
        Assert.All(scene.Hooks, hook => Assert.NotEqual(0, hook.SettledInStore));
    });

    [Fact]
    public Task A_silo_that_leaves_hands_its_webhooks_over_without_a_repeat() => OrTailsAsync(async () =>
    {
        using var deadline = TestDeadline.In(120);
        await using var scene = new WebhookScene(Cluster, NewChannel());
        var victim = await InMidDeliveryAsync(scene, deadline);
        await scene.MarkAsync();
        var leaving = victim.DrainAsync();

        // What is on its way ends within the time that it is given.
        foreach (var hook in scene.Hooks) hook.Release();
        Assert.Equal(0, await leaving);
        await scene.JudgeAsync(Silos.First(s => s != victim), deadline);
        output.WriteLine(scene.Describe());
        Assert.All(scene.Hooks, hook => Assert.Equal(0, hook.Repeats));
    });

    [Fact]
    public Task Without_postgres_webhooks_wait_and_go_on_when_it_is_back() => OrTailsAsync(async () =>
    {
        using var deadline = TestDeadline.In(120);
        await using var scene = new WebhookScene(Cluster, NewChannel());
        await InMidDeliveryAsync(scene, deadline);
        await scene.MarkAsync();
        await Cluster.Postgres.StopAsync();
        try
        {
            // Answered while nobody can note it.
            foreach (var hook in scene.Hooks) hook.Release();
            foreach (var hook in scene.Hooks) await hook.Inbox.DeliveredAsync(Before + 1, deadline);
        }
        finally
        {
            await Cluster.Postgres.StartAsync();
        }

        await Cluster.TogetherAsync();
        await scene.JudgeAsync(Silos[0], deadline);
        output.WriteLine(scene.Describe());

        // Their grains lived on and know what was answered.
        Assert.All(scene.Hooks, hook => Assert.Equal(0, hook.Repeats));
    });

    [Fact]
    public Task Without_redis_webhooks_work_as_ever() => OrTailsAsync(async () =>
    {
        using var deadline = TestDeadline.In(60);
        await using var scene = new WebhookScene(Cluster, NewChannel());
        await Cluster.Redis.KillAsync();
        try
        {
            foreach (var silo in Silos) await scene.AddAsync(silo, "parallel");
            await scene.PublishAsync(Silos[0], rounds: 2, each: 10);
            await scene.JudgeAsync(Silos[1], deadline);
            Assert.All(scene.Hooks, hook => Assert.Equal(0, hook.Repeats));
        }
        finally
        {
            await Cluster.Redis.StartAsync();
        }

        await Cluster.TogetherAsync();
    });

    /// <summary>While a silo that died is not known to be dead: nobody can tell what it has under way, and a subscription is made all the same.</summary>
    private async Task MakeAsync(TestSilo silo, TestDeadline deadline)
    {
        var channel = NewChannel();
        await using var receiver = new WebhookReceiver();
        using var http = silo.Http();
        HttpAnswer made;
        do
        {
            // Its grain may be given to the one that died.
            made = await http.PostAsync("/v1/webhooks", JsonSerializer.Serialize(new { url = receiver.Inbox.Url, channels = (string[])[channel] }));
        }
        while (made.Status == HttpStatusCode.ServiceUnavailable && !deadline.Token.IsCancellationRequested);
        await http.PublishAsync(channel, "1");
        await receiver.Inbox.DistinctAsync(1, deadline);
        (await http.SendAsync(HttpMethod.Delete, $"/v1/webhooks/{made.Ok().Json.GetProperty("id").GetString()}")).Ok();
    }

    /// <summary>
    /// Subscriptions of all modes, each with some messages delivered just now, requests that wait for their answer, and a backlog; a silo that
    /// has some of each mode.
    /// </summary>
    private async Task<TestSilo> InMidDeliveryAsync(WebhookScene scene, TestDeadline deadline)
    {
        await scene.PublishBeforeAsync(Silos[0]);
        await scene.AddUntilOneSiloHasAllModesAsync();
        foreach (var hook in scene.Hooks)
        {
            hook.Hold();
            hook.Allow(Before - Late);
        }

        await scene.PublishAsync(Silos[1], rounds: 4, each: 25);
        foreach (var hook in scene.Hooks) await hook.Inbox.DeliveredAsync(Before - Late, deadline);
        var silo = await scene.FindHomesAsync();
        foreach (var hook in scene.Hooks) hook.Allow(Late);
        foreach (var hook in scene.Hooks) await hook.Inbox.DeliveredAsync(Before, deadline);
        return silo;
    }
}

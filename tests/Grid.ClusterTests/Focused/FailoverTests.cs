using System.Globalization;
using Grid.ClusterTests.Cluster;
using Grid.Testing;
using Grid.Testing.History;
using Grid.Testing.Load;
using Grid.Testing.Wire;
using Xunit.Abstractions;

namespace Grid.ClusterTests.Focused;

/// <summary>Silos die, hang and are replaced; what others do goes on.</summary>
public class FailoverTests(SharedCluster shared, ITestOutputHelper output) : FocusedTest(shared)
{
    private const string Wake = "\"wake\"";

    [Fact]
    public Task Killing_the_silo_of_a_channel_costs_neither_answers_nor_messages() => OrTailsAsync(async () =>
    {
        using var deadline = TestDeadline.In(90);
        var channel = NewChannel();
        var victim = await SiloOfAsync(channel);
        var survivors = Silos.Where(s => s != victim).ToList();
        await using var scene = new Scene(channel);
        foreach (var silo in survivors) await scene.ConsumeAsync(silo);
        var publisher = await scene.PublisherAsync(survivors[0]);
        var publishing = publisher.RunAsync(2_000, deadline.Token);
        await scene.AcknowledgedAsync(500, publishing, deadline);
        await victim.KillAsync();
        await publishing.WaitAsync(deadline.Token);
        output.WriteLine(Figures(publisher));
        await scene.JudgeAsync(survivors[1], deadline);

        // Nobody else's socket was touched.
        Assert.Empty(publisher.Closes);
        Assert.All(scene.Consumers, c => Assert.Empty(c.Closes));
    });

    [Fact]
    public Task Killing_the_silo_of_a_socket_lets_its_session_resume_elsewhere_without_repeats() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var publisher = await Silos[1].OpenAsync("publisher");
        await using var first = await Silos[0].OpenAsync("first");
        await first.SubscribeAsync(channel);
        for (var i = 1; i <= 10; i++) await publisher.PublishAsync(channel, $"{i}", key: $"k{i}");
        var last = await first.MessageAsync(channel, 10);
        var epoch = (await publisher.PublishAsync(channel, "1", key: "k1")).Epoch;
        await Silos[0].KillAsync();
        await first.ClosedAsync();

        // Once the silo's end is noticed, at most seconds after it; until then a publish to a channel that lived there is tried again.
        for (var i = 11; i <= 15; i++) await PublishedAsync(publisher, channel, $"{i}", $"k{i}");
        var cursors = new Dictionary<string, RawPosition> { [channel] = new(epoch, last.Offset) };
        await using var second = await ResumeAsync(Silos[2], new RawResume(first.Welcome!.Session, first.Welcome.ResumeToken, cursors));
        Assert.Equal("resumed", second.Welcome!.State);
        Assert.Equal(10, second.Welcome.Subscriptions[channel].Cursor);
        await second.MessageAsync(channel, 15);
        Assert.Equal([11L, 12, 13, 14, 15], second.Messages(channel).Select(m => m.Offset));
    });

    [Fact]
    public Task A_silo_that_stands_still_does_not_hold_up_others() => OrTailsAsync(async () =>
    {
        // The channel lives elsewhere, but has a subscriber on the silo that will hang: its feed must not be waited for.
        var (channel, home) = await ChannelElsewhereAsync(Silos[0]);
        var other = Silos.Single(s => s != Silos[0] && s != home);
        await using var hanging = await Silos[0].OpenAsync("on the silo that hangs");
        await using var publisher = await other.OpenAsync("publisher");
        await using var near = await home.OpenAsync("near");
        await using var far = await other.OpenAsync("far");
        foreach (var client in (RawClient[])[hanging, near, far]) await client.SubscribeAsync(channel, ClientFrames.Start);
        var head = (await publisher.PublishAsync(channel, "0", key: "before")).Offset;
        await hanging.MessageAsync(channel, head);
        Silos[0].Pause();
        try
        {
            for (var i = 0; i < 50; i++)
            {
                head = (await PublishedAsync(publisher, channel, $"{i}", $"while {i}")).Offset;
                await near.MessageAsync(channel, head);
                await far.MessageAsync(channel, head);
            }
        }
        finally
        {
            Silos[0].Continue();
        }

        // It either catches up, or its end frees the client to go elsewhere.
        await Task.WhenAny(hanging.MessageAsync(channel, head), hanging.Closed);
        Assert.Equal(head, near.Messages(channel)[^1].Offset);
        Assert.Equal(head, near.Messages(channel).Count);
        Assert.Equal(head, far.Messages(channel).Count);
    });

    [Fact]
    public Task An_ephemeral_channel_is_shared_by_all_silos_and_begins_anew_when_its_silo_dies() => OrTailsAsync(async () =>
    {
        var channel = NewChannel("live");
        var victim = await SiloOfAsync(channel);
        var survivors = Silos.Where(s => s != victim).ToList();
        await using var publisher = await survivors[0].OpenAsync("publisher");
        var consumers = await Task.WhenAll(survivors.Select(s => s.OpenAsync($"on {s}")));
        foreach (var consumer in consumers) await consumer.SubscribeAsync(channel, ClientFrames.Start);
        var old = "";
        var before = (await publisher.PublishAsync(channel, "0", key: "b0")).Offset;
        for (var i = 1; i < 5; i++) (old, before) = await PublishedAsync(publisher, channel, $"{i}", $"b{i}");
        foreach (var consumer in consumers) await consumer.MessageAsync(channel, before);
        await victim.KillAsync();
        var epochs = new HashSet<string>();
        for (var i = 0; i < 5; i++) epochs.Add((await PublishedAsync(publisher, channel, $"{10 + i}", $"a{i}")).Epoch);
        Assert.DoesNotContain(old, epochs);
        Assert.Single(epochs);
        foreach (var consumer in consumers)
        {
            var last = await consumer.WaitAsync(f => f.Type == "message" && f.Channel == channel && f.Payload == "14", "the last message");
            var frames = consumer.Frames.Where(f => f.Channel == channel && f.Type is "message" or "gap" && f.Index <= last.Index).ToList();
            var gap = Assert.Single(frames, f => f.Type == "gap");
            Assert.Equal("epoch", gap.String("reason"));
            Assert.Equal(epochs.Single(), gap.Epoch);

            // Nothing twice, on either side of the gap.
            Assert.Equal(frames.Count - 1, frames.Where(f => f.Type == "message").Select(f => f.Payload).Distinct().Count());
            Assert.All(frames.Where(f => f.Type == "message" && f.Payload != Wake), f => Assert.Equal(f.Index < gap.Index, int.Parse(f.Payload, CultureInfo.InvariantCulture) < 10));
            await consumer.DisposeAsync();
        }
    });

    [Fact]
    public Task A_rolling_restart_under_load_loses_repeats_and_reorders_nothing() => OrTailsAsync(async () =>
    {
        using var deadline = TestDeadline.In(180);
        var channel = NewChannel();
        await using var scene = new Scene(channel);
        for (var i = 0; i < 6; i++) await scene.ConsumeAsync(Silos[i % 3], Cluster.Pick, i % 2 == 0 ? CursorOwner.Client : CursorOwner.Server);
        var publisher = await scene.PublisherAsync(Silos[0], Cluster.Pick, TimeSpan.FromMilliseconds(5));
        var publishing = publisher.RunAsync(int.MaxValue, deadline.Token);
        foreach (var silo in Silos)
        {
            await scene.AcknowledgedAsync(scene.Acknowledged + 200, publishing, deadline);
            Assert.Equal(0, await silo.DrainAsync());
            await silo.StartAsync();
            await Cluster.TogetherAsync();
        }

        await scene.AcknowledgedAsync(scene.Acknowledged + 200, publishing, deadline);
        publisher.Finish();
        await publishing.WaitAsync(deadline.Token);
        output.WriteLine(Figures(publisher));
        await scene.JudgeAsync(Silos[0], deadline);
    });

    private static string Figures(LoadPublisher publisher) => string.Create(
        CultureInfo.InvariantCulture,
        $"longest answer {publisher.LongestAnswer.TotalSeconds:0.00} s, longest publish {publisher.LongestPublish.TotalSeconds:0.00} s, {publisher.Unavailable} times unavailable");

    private async Task<TestSilo> SiloOfAsync(string channel)
    {
        using var http = HttpOf(Silos[0]);
        await http.PublishAsync(channel, Wake, key: Scene.WakeKey);
        await using var eye = await GrainEye.OpenAsync(Cluster);
        return await eye.SiloOfAsync(channel);
    }

    private async Task<(string Channel, TestSilo Home)> ChannelElsewhereAsync(TestSilo silo)
    {
        using var http = HttpOf(silo);
        await using var eye = await GrainEye.OpenAsync(Cluster);
        while (true)
        {
            var channel = NewChannel();
            await http.PublishAsync(channel, Wake, key: Scene.WakeKey);
            if (await eye.SiloOfAsync(channel) is var home && home != silo) return (channel, home);
        }
    }

    /// <summary>Publishes until it is stored: as a client does that is told <c>unavailable</c>.</summary>
    private static async Task<RawPosition> PublishedAsync(RawClient client, string channel, string payload, string key)
    {
        using var deadline = TestDeadline.In(60);
        while (true)
        {
            var answer = await client.PublishAsync(channel, payload, key);
            if (answer.Type == "published") return answer.Position;
            if (answer.Code != "unavailable" || deadline.Passed) throw new TestFailedException($"{key} was answered by {answer}");
        }
    }
}

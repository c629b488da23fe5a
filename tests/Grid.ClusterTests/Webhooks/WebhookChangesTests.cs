using System.Net;
using System.Text.Json;
using Grid.ClusterTests.Focused;
using Grid.Testing.Hosting;
using Grid.Testing.Webhooks;

namespace Grid.ClusterTests.Webhooks;

/// <summary>What is changed through one silo holds on all.</summary>
public class WebhookChangesTests(SharedCluster shared) : FocusedTest(shared)
{
    [Fact]
    public Task What_one_silo_was_told_the_others_know() => OrTailsAsync(async () =>
    {
        var channel = NewChannel();
        await using var receiver = new WebhookReceiver();
        var (first, second) = (receiver.At("/first"), receiver.At("/second"));
        using var one = HttpOf(Silos[0]);
        using var two = HttpOf(Silos[1]);
        using var three = HttpOf(Silos[2]);

        // Made through one, published to through another.
        var made = await MakeAsync(one, first.Url, channel, new { xtoken = "a" });
        var id = made.GetProperty("id").GetString()!;
        var secret = made.GetProperty("secret").GetString()!;
        await two.PublishAsync(channel, "1");
        var got = await first.NextAsync();
        Assert.Equal(("1", "a"), (got.Json.GetProperty("data").GetRawText(), got.Header("xtoken")));
        Assert.True(got.IsSignedBy(secret), got.ToString());

        // Changed through the third, published to through the first.
        await PatchAsync(three, id, new { url = second.Url, events = (string[])["order.*"], headers = new { xtoken = "b" } });
        await PublishAsync(one, channel, """[{"data":2},{"data":3,"event":"order.made"}]""");
        got = await second.NextAsync();
        Assert.Equal(("3", "b"), (got.Json.GetProperty("data").GetRawText(), got.Header("xtoken")));
        Assert.Equal(1, first.Count);

        // The secret rotated through the second: both sign for a while.
        var renewed = (await two.PostAsync($"/v1/webhooks/{id}/rotate-secret", """{"overlapSeconds":3600}""")).Ok().Json.GetProperty("secret").GetString()!;
        await PublishAsync(three, channel, """[{"data":4,"event":"order.made"}]""");
        got = await second.NextAsync();
        Assert.True(got.IsSignedBy(secret) && got.IsSignedBy(renewed), got.ToString());

        // All tell the same.
        foreach (var http in (GridHttp[])[one, two, three])
            Assert.Equal(second.Url, (await http.GetAsync($"/v1/webhooks/{id}")).Ok().Json.GetProperty("url").GetString());

        // Gone through one, it is gone for all; another one shows that what is published then does not come any more.
        Assert.Equal(HttpStatusCode.NoContent, (await one.SendAsync(HttpMethod.Delete, $"/v1/webhooks/{id}")).Status);
        foreach (var http in (GridHttp[])[one, two, three]) Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync($"/v1/webhooks/{id}")).Status);
        var witness = await MakeAsync(two, first.Url, channel, new { xtoken = "c" });
        await PublishAsync(three, channel, """[{"data":5,"event":"order.made"}]""");
        await first.CountAsync(2);
        Assert.Equal(2, second.Count);
        (await one.SendAsync(HttpMethod.Delete, $"/v1/webhooks/{witness.GetProperty("id").GetString()}")).Ok();
    });

    private static async Task<JsonElement> MakeAsync(GridHttp http, string url, string channel, object headers) =>
        (await http.PostAsync("/v1/webhooks", JsonSerializer.Serialize(new { url, headers, channels = (string[])[channel] }))).Ok().Json;

    private static async Task PatchAsync(GridHttp http, string id, object change) =>
        (await http.SendAsync(HttpMethod.Patch, $"/v1/webhooks/{id}", JsonSerializer.Serialize(change))).Ok();

    private static async Task PublishAsync(GridHttp http, string channel, string messages) => (await http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), messages)).Ok();
}

using System.Net;
using System.Text.Json;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Webhooks;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>What webhooks may not be sent to, unless a setting allows it.</summary>
public sealed class WebhookRefusalTests
{
    [Fact]
    public async Task Private_addresses_are_refused_when_a_webhook_is_made_and_when_a_name_leads_there()
    {
        await using var receiver = new WebhookReceiver();
        using var folder = new TestFolder("refusal");
        var local = $"http://localhost:{receiver.Port}/in";
        string id;
        await using (var open = await HostProcess.RunAsync([new("Grid__Webhooks__AllowPrivateNetworks", "true")], folder["data"]))
        {
            // That setting alone allows addresses inside, plain http, every port and names that are used inside only.
            using var http = open.Http();
            id = (await http.PostAsync("/v1/webhooks", $$$"""{"url":"{{{local}}}","channels":["orders"],"retry":{"schedule":[0,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}""")).Ok().Json.GetProperty("id").GetString()!;
            await http.PublishAsync("orders", "1");
            await receiver.Inbox.DeliveredAsync(1);
        }

        // The same webhook, now with a host that does not allow them; a range opens inside names, but not the address behind this one.
        KeyValuePair<string, string?>[] closed = [new("Grid__Webhooks__AllowedNetworks__0", "10.255.255.0/24"), new("Grid__Webhooks__AllowHttp", "true"), new("Grid__Webhooks__AllowedPorts__0", $"{receiver.Port}")];
        await using (var host = await HostProcess.RunAsync(closed, folder["data"]))
        {
            using var http = host.Http();
            await http.PublishAsync("orders", "2");
            await AttemptAsync(http, id, "refusedAddress");
            var test = (await http.PostAsync($"/v1/webhooks/{id}/test", "")).Ok().Json;
            Assert.Equal("refusedAddress", test.GetProperty("error").GetString());
            Assert.DoesNotContain("127.0.0.1", test.ToString(), StringComparison.Ordinal);
            AssertRefused(await http.PostAsync("/v1/webhooks", $$"""{"url":"http://127.0.0.1:{{receiver.Port}}/","channels":["a"]}"""));
            Assert.Equal(HttpStatusCode.Created, (await http.PostAsync("/v1/webhooks", $$"""{"url":"{{local}}","channels":["a"]}""")).Status);
        }

        await using (var host = await HostProcess.RunAsync([new("Grid__Webhooks__MaxPerTenant", "3")], folder["data"]))
        {
            using var http = host.Http();
            foreach (var url in new[] { "http://127.0.0.1/", "https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://[::1]/", "http://example.com/", "https://example.com:22/" })
                AssertRefused(await http.PostAsync("/v1/webhooks", $$"""{"url":"{{url}}","channels":["a"]}"""));
            Assert.Equal(HttpStatusCode.Created, (await http.PostAsync("/v1/webhooks", """{"url":"https://example.com/hooks","channels":["a"]}""")).Status);

            // That was the third, and there may be no fourth.
            var fourth = await http.PostAsync("/v1/webhooks", """{"channels":["a"]}""");
            Assert.Equal((HttpStatusCode.TooManyRequests, "quota_exceeded"), (fourth.Status, fourth.Json.GetProperty("code").GetString()));
        }

        // A range opens the address; what was refused meanwhile waits for it.
        closed[0] = new("Grid__Webhooks__AllowedNetworks__0", "127.0.0.0/8");
        await using (var host = await HostProcess.RunAsync(closed, folder["data"])) await receiver.Inbox.DeliveredAsync(2);

        // Twice may be what the end of the first host left unwritten.
        Assert.Equal(2, receiver.Inbox.Distinct);
    }

    private static async Task AttemptAsync(GridHttp http, string id, string error)
    {
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            async () => (await http.GetAsync($"/v1/webhooks/{id}/attempts?status=failed")).Ok().Json.GetProperty("attempts").EnumerateArray()
                .Any(a => a.GetProperty("error").GetString() == error && !a.TryGetProperty("status", out _)),
            () => $"an attempt with {error}");
    }

    private static void AssertRefused(HttpAnswer answer)
    {
        Assert.Equal(HttpStatusCode.BadRequest, answer.Status);
        Assert.Equal("bad_frame", answer.Json.GetProperty("code").GetString());
        Assert.Equal(JsonValueKind.String, answer.Json.GetProperty("detail").ValueKind);
    }
}

using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using Grid.Testing.Hosting;

namespace Grid.IntegrationTests.Playground;

/// <summary>What visitors of the playground may do with webhooks, and what nobody may, on a host with default settings.</summary>
public sealed class VisitorWebhookTests : IAsyncLifetime
{
    private const string Secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    private const string Hooks = "/playground/v1/webhooks";
    private static readonly HttpClient Http = new();
    private HostProcess _host = null!;
    private string _visitor = null!;

    public async Task InitializeAsync()
    {
        _host = await HostProcess.RunAsync();
        _visitor = (await SendAsync(HttpMethod.Post, "/playground/token", null, null)).Json.GetProperty("token").GetString()!;
    }

    public async Task DisposeAsync() => await _host.DisposeAsync();

    [Fact]
    public async Task A_visitor_s_webhooks_go_to_the_sample_receiver_and_nowhere_else()
    {
        var url = await ReceiverAsync("a1");
        Assert.Equal(new Uri(_host.Address, "/playground/receiver/a1").AbsoluteUri, url);
        string[] elsewhere =
        [
            "https://example.com/hook", new Uri(_host.Address, "/v1/tokens").AbsoluteUri, new Uri(_host.Address, "/metrics").AbsoluteUri, url + "?x=1",
            url + "/b", url.Replace("http:", "https:", StringComparison.Ordinal), $"http://localhost:1/playground/receiver/a1",
            "http://169.254.169.254/playground/receiver/a1",
        ];
        foreach (var other in elsewhere) await RefusedAsync(400, HttpMethod.Post, Hooks, Webhook(other), _visitor);
        await RefusedAsync(400, HttpMethod.Post, Hooks, """{"channels":["hook:r"]}""", _visitor);
        await RefusedAsync(400, HttpMethod.Post, Hooks, $$"""{"url":"{{url}}","channels":["hook:*"]}""", _visitor);
        await RefusedAsync(400, HttpMethod.Post, Hooks, $$"""{"url":"{{url}}","channels":["board:r"]}""", _visitor);
        await RefusedAsync(400, HttpMethod.Post, Hooks, $$"""{"url":"{{url}}","channels":["hook:r"],"headers":{"x":"y"} }""", _visitor);

        var made = (await SendAsync(HttpMethod.Post, Hooks, Webhook(url), _visitor)).Json;
        var one = $"{Hooks}/{made.GetProperty("id").GetString()}";
        foreach (var other in elsewhere) await RefusedAsync(400, HttpMethod.Patch, one, $$"""{"url":"{{other}}"}""", _visitor);
        await RefusedAsync(400, HttpMethod.Patch, one, """{"channels":["hook:other"]}""", _visitor);

        // Signed with a secret that the receiver was not told: refused, and said so.
        var attempt = (await SendAsync(HttpMethod.Post, one + "/test", null, _visitor)).Json;
        Assert.Equal(401, attempt.GetProperty("status").GetInt32());
        await ReceiverAsync("a1", made.GetProperty("secret").GetString()!);
        Assert.Equal(204, (await SendAsync(HttpMethod.Post, one + "/test", null, _visitor)).Json.GetProperty("status").GetInt32());
    }

    [Fact]
    public async Task The_location_of_a_new_one_is_where_its_maker_finds_it()
    {
        var url = await ReceiverAsync("l1");
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_host.Address, Hooks));
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _visitor);
        request.Content = new StringContent(Webhook(url), Encoding.UTF8, "application/json");
        using var made = await Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Created, made.StatusCode);
        Assert.Equal(url, (await SendAsync(HttpMethod.Get, made.Headers.Location!.OriginalString, null, _visitor)).Json.GetProperty("url").GetString());
    }

    [Fact]
    public async Task Other_tenants_get_nothing_of_it()
    {
        var url = await ReceiverAsync("b1");
        await RefusedAsync(400, HttpMethod.Post, "/v1/webhooks", Webhook(url), _host.ApiKey);
        await RefusedAsync(403, HttpMethod.Get, Hooks, null, _host.ApiKey);
        await RefusedAsync(403, HttpMethod.Get, "/playground/receiver/b1", null, _host.ApiKey);
        await RefusedAsync(401, HttpMethod.Get, Hooks, null, null);
        await RefusedAsync(401, HttpMethod.Put, "/playground/receiver/b1", """{"behaviour":"hang"}""", null);

        // And visitors have nothing but the playground's.
        await RefusedAsync(403, HttpMethod.Get, "/v1/webhooks", null, _visitor);
        await RefusedAsync(403, HttpMethod.Post, "/v1/channels/grid:webhooks/messages", """{"data":1}""", _visitor);
    }

    [Fact]
    public async Task A_room_has_few_webhooks()
    {
        var url = await ReceiverAsync("c1");
        for (var i = 0; i < 5; i++) Assert.Equal(HttpStatusCode.Created, (await SendAsync(HttpMethod.Post, Hooks, Webhook(url), _visitor)).Status);
        await RefusedAsync(429, HttpMethod.Post, Hooks, Webhook(url), _visitor);
        Assert.Equal(HttpStatusCode.Created, (await SendAsync(HttpMethod.Post, Hooks, Webhook(url, "hook:other"), _visitor)).Status);
    }

    [Fact]
    public async Task The_receiver_remembers_nothing_of_strangers()
    {
        await ReceiverAsync("d1");
        await ReceiverAsync("d1", behaviour: "hang");

        // It hangs for who has the secret only.
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(HttpMethod.Post, "/playground/receiver/d1", "{}", null)).Status);
        using var forged = new HttpRequestMessage(HttpMethod.Post, new Uri(_host.Address, "/playground/receiver/d1"));
        forged.Headers.Add("webhook-id", "msg_1");
        forged.Headers.Add("webhook-timestamp", DateTimeOffset.UtcNow.ToUnixTimeSeconds().ToString(System.Globalization.CultureInfo.InvariantCulture));
        forged.Headers.Add("webhook-signature", "v1,AAAA");
        Assert.Equal(HttpStatusCode.Unauthorized, (await Http.SendAsync(forged)).StatusCode);
        var state = (await SendAsync(HttpMethod.Get, "/playground/receiver/d1", null, _visitor)).Json;
        Assert.Equal((0, 1), (state.GetProperty("total").GetInt32(), state.GetProperty("refused").GetInt32()));

        // One that nobody made, and names that are none.
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(HttpMethod.Post, "/playground/receiver/none", "{}", null)).Status);
        await RefusedAsync(404, HttpMethod.Put, "/playground/receiver/none", """{"behaviour":"ok"}""", _visitor);
        await RefusedAsync(400, HttpMethod.Put, "/playground/receiver/NONE", $$"""{"secret":"{{Secret}}"}""", _visitor);
        await RefusedAsync(400, HttpMethod.Put, "/playground/receiver/d1", """{"behaviour":"explode"}""", _visitor);
        await RefusedAsync(400, HttpMethod.Put, "/playground/receiver/d1", """{"secret":"whsec_short"}""", _visitor);
        await RefusedAsync(413, HttpMethod.Put, "/playground/receiver/d1", $$"""{"secret":"{{new string('a', 2000)}}"}""", _visitor);
    }

    [Fact]
    public async Task Where_the_playground_is_off_there_is_none_of_it()
    {
        await using var off = await HostProcess.RunAsync(new Dictionary<string, string?> { ["Grid__Playground__Enabled"] = "false" });
        using var http = new HttpClient { BaseAddress = off.Address };
        Assert.Equal(HttpStatusCode.NotFound, (await http.PostAsync("/playground/receiver/a", null)).StatusCode);
        Assert.Equal(HttpStatusCode.Forbidden, (await http.PostAsync("/playground/token", null)).StatusCode);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", off.ApiKey);
        Assert.Equal(HttpStatusCode.Forbidden, (await http.GetAsync(Hooks)).StatusCode);
    }

    private static string Webhook(string url, string channel = "hook:r") => $$"""{"url":"{{url}}","channels":["{{channel}}"]}""";

    private async Task<string> ReceiverAsync(string name, string secret = Secret, string behaviour = "ok") =>
        (await SendAsync(HttpMethod.Put, $"/playground/receiver/{name}", $$"""{"secret":"{{secret}}","behaviour":"{{behaviour}}"}""", _visitor))
        .Json.GetProperty("url").GetString()!;

    private async Task RefusedAsync(int status, HttpMethod method, string path, string? body, string? credential)
    {
        var (answered, _) = await SendAsync(method, path, body, credential);
        Assert.True(status == (int)answered, $"{method} {path} {body}: {(int)answered}");
    }

    private async Task<(HttpStatusCode Status, JsonElement Json)> SendAsync(HttpMethod method, string path, string? body, string? credential)
    {
        using var request = new HttpRequestMessage(method, new Uri(_host.Address, path));
        if (credential is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", credential);
        if (body is not null) request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        using var response = await Http.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        return (response.StatusCode, text.StartsWith('{') ? JsonDocument.Parse(text).RootElement.Clone() : default);
    }
}

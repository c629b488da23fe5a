using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.IntegrationTests.Api;

[Collection("api")]
public sealed class EdgeApiTests(ApiHost host)
{
    [Fact]
    public async Task Without_a_credential_the_answer_says_how_to_send_one()
    {
        var response = await host.Anonymous.GetAsync("/v1/channels/room:1");
        await Http.ProblemAsync(response, HttpStatusCode.Unauthorized, "unauthorized");
        Assert.Equal("Bearer", Assert.Single(response.Headers.WwwAuthenticate).Scheme);
    }

    [Fact]
    public async Task A_bad_credential_is_401()
    {
        using var client = host.With("no-such-key");
        var response = await client.GetAsync("/v1/channels/room:1");
        await Http.ProblemAsync(response, HttpStatusCode.Unauthorized, "unauthorized");
        Assert.Contains("invalid_token", response.Headers.WwwAuthenticate.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_routing_refuses_is_a_problem_too()
    {
        await Http.ProblemAsync(await host.Server.GetAsync("/v1/nothing/here"), HttpStatusCode.NotFound, "bad_frame");
        await Http.ProblemAsync(await host.Server.GetAsync("/v1"), HttpStatusCode.NotFound, "bad_frame");
        var wrongMethod = await host.Server.PutAsync("/v1/tokens", Http.Body("{}"));
        await Http.ProblemAsync(wrongMethod, HttpStatusCode.MethodNotAllowed, "bad_frame");
        Assert.Equal(["POST"], wrongMethod.Content.Headers.Allow);
    }

    [Fact]
    public async Task A_body_is_json_whatever_its_content_type_says()
    {
        const string Form = "application/x-www-form-urlencoded";
        await Http.ProblemAsync(
            await host.Server.PostAsync("/v1/tokens", new StringContent("user=ana", Encoding.UTF8, Form)), HttpStatusCode.BadRequest, "bad_frame");
        var made = await host.Server.PostAsync(
            "/v1/tokens", new StringContent("""{"user":"ana","capabilities":{"room:*":["subscribe"]}}""", Encoding.UTF8, Form));
        Assert.Equal(HttpStatusCode.OK, made.StatusCode);
    }

    [Fact]
    public async Task Health_and_readiness()
    {
        Assert.Equal("""{"status":"ok"}""", await host.Anonymous.GetStringAsync("/healthz"));
        var readiness = host.Services.GetRequiredService<IReadiness>();
        readiness.Add("store", _ => new(true));
        Assert.Equal("""{"status":"ready","draining":false,"checks":{"store":true}}""", await host.Anonymous.GetStringAsync("/readyz"));
        readiness.Add("store", _ => throw new InvalidOperationException("secret details"));
        var away = await host.Anonymous.GetAsync("/readyz");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, away.StatusCode);
        Assert.Equal("""{"status":"notReady","draining":false,"checks":{"store":false}}""", await away.Content.ReadAsStringAsync());
        readiness.Add("store", _ => new(true));
        readiness.Draining = true;
        var draining = await host.Anonymous.GetAsync("/readyz");
        readiness.Draining = false;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, draining.StatusCode);
        Assert.Contains("draining", await draining.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await host.Anonymous.GetAsync("/healthz")).StatusCode);
    }

    [Fact]
    public async Task The_playground_gives_visitors_of_this_machine_a_token_of_its_own_tenant()
    {
        var made = await Http.JsonAsync(await host.Anonymous.PostAsync("/playground/token", null));
        Assert.StartsWith("guest-", (string?)made["user"], StringComparison.Ordinal);
        Assert.InRange((DateTimeOffset)made["expiresAt"]!, DateTimeOffset.UtcNow.AddHours(11.9), DateTimeOffset.UtcNow.AddHours(12.1));
        var caller = await host.Services.GetRequiredService<IAuthenticator>().AuthenticateAsync((string)made["token"]!);
        Assert.Equal("playground", caller!.Tenant);
        Assert.True(caller.Capabilities.Allows("board:1", Capability.Subscribe | Capability.Publish | Capability.History));
        Assert.False(caller.Capabilities.Allows("room:1", Capability.Subscribe));
    }

    [Theory]
    [InlineData("X-Forwarded-For", "203.0.113.7")]
    [InlineData("Forwarded", "for=203.0.113.7")]
    [InlineData("Host", "evil.example")]
    public async Task The_playground_is_closed_to_those_from_elsewhere(string header, string value)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/playground/token");
        request.Headers.TryAddWithoutValidation(header, value);
        await Http.ProblemAsync(await host.Anonymous.SendAsync(request), HttpStatusCode.Forbidden, "forbidden");
    }

    [Fact]
    public async Task The_document_describes_every_endpoint()
    {
        var document = JsonNode.Parse(await host.Anonymous.GetStringAsync("/openapi/v1.json"))!;
        (string Path, string Method)[] expected =
        [
            ("/v1/tokens", "post"), ("/v1/channels/{channel}/messages", "post"), ("/v1/channels/{channel}/messages", "get"),
            ("/v1/channels/{channel}", "get"), ("/v1/sessions", "get"), ("/v1/sessions/{session}", "delete"),
            ("/playground/token", "post"), ("/healthz", "get"), ("/readyz", "get"),
        ];
        foreach (var (path, method) in expected)
        {
            var operation = document["paths"]![path]?[method];
            Assert.True(operation is not null, $"{method} {path}");
            Assert.False(string.IsNullOrEmpty((string?)operation["summary"]), path);
            Assert.False(string.IsNullOrEmpty((string?)operation["description"]), path);
            Assert.Equal(path.StartsWith("/v1", StringComparison.Ordinal), operation["security"] is JsonArray { Count: > 0 });
            if (method == "post" && path.StartsWith("/v1", StringComparison.Ordinal))
                Assert.NotNull(operation["requestBody"]!["content"]!["application/json"]!["example"]);
            if (method != "delete") Assert.NotNull(operation["responses"]!["200"]!["content"]!["application/json"]!["example"]);
        }

        // Those of webhooks are compared where they are tested.
        Assert.Equal(
            expected.Select(e => e.Path).Distinct().Order(),
            document["paths"]!.AsObject().Select(p => p.Key).Where(p => !p.StartsWith("/v1/webhooks", StringComparison.Ordinal)).Order());
        Assert.Equal("bearer", (string?)document["components"]!["securitySchemes"]!["bearer"]!["scheme"]);
        var publish = document["paths"]!["/v1/channels/{channel}/messages"]!["post"]!;
        Assert.Equal(2, publish["requestBody"]!["content"]!["application/json"]!["schema"]!["oneOf"]!.AsArray().Count);
        Assert.NotNull(publish["responses"]!["503"]!["content"]!["application/problem+json"]);
    }

    [Fact]
    public async Task The_page_over_the_document_needs_nobody_else()
    {
        var page = await host.Anonymous.GetAsync("/docs");
        var html = await page.Content.ReadAsStringAsync();
        Assert.Equal("text/html", page.Content.Headers.ContentType?.MediaType);
        Assert.DoesNotContain("https://", html, StringComparison.Ordinal);
        Assert.DoesNotContain("http://", html.Replace(host.Address.ToString(), "", StringComparison.Ordinal), StringComparison.Ordinal);
        foreach (System.Text.RegularExpressions.Match script in System.Text.RegularExpressions.Regex.Matches(html, "(?:src|href|from)\\s*=?\\s*[\"']([^\"']+\\.js[^\"']*)[\"']"))
        {
            var address = new Uri(page.RequestMessage!.RequestUri!, script.Groups[1].Value);
            Assert.Equal(host.Address.Authority, address.Authority);
            Assert.Equal(HttpStatusCode.OK, (await host.Anonymous.GetAsync(address)).StatusCode);
        }
    }

    [Fact]
    public async Task The_dashboard_opens_to_an_administrators_key_only()
    {
        var closed = await host.Anonymous.GetAsync("/dashboard/");
        await Http.ProblemAsync(closed, HttpStatusCode.Unauthorized, "unauthorized");
        Assert.Equal("Basic", Assert.Single(closed.Headers.WwwAuthenticate).Scheme);
        await Http.ProblemAsync(await host.Server.GetAsync("/dashboard/"), HttpStatusCode.Unauthorized, "unauthorized");
        await Http.ProblemAsync(await host.Anonymous.GetAsync("/dashboard/DashboardCounters"), HttpStatusCode.Unauthorized, "unauthorized");

        using var admin = Basic(ApiHost.ApiKey);
        var open = await admin.GetAsync("/dashboard/");
        Assert.Equal(HttpStatusCode.OK, open.StatusCode);
        Assert.Contains("<html", await open.Content.ReadAsStringAsync(), StringComparison.OrdinalIgnoreCase);
        Assert.Equal(HttpStatusCode.OK, (await admin.GetAsync("/dashboard/DashboardCounters")).StatusCode);

        using var client = Basic(await host.TokenAsync("""{"*":["subscribe","publish","history","presence"]}"""));
        await Http.ProblemAsync(await client.GetAsync("/dashboard/"), HttpStatusCode.Unauthorized, "unauthorized");
        using var stranger = Basic("wrong-password");
        await Http.ProblemAsync(await stranger.GetAsync("/dashboard/"), HttpStatusCode.Unauthorized, "unauthorized");
    }

    private HttpClient Basic(string password)
    {
        var client = new HttpClient { BaseAddress = host.Address };
        client.DefaultRequestHeaders.Authorization =
            new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"admin:{password}")));
        return client;
    }
}

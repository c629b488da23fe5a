using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Api;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Relay;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks.Network;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Message = Grid.Protocol.Message;

namespace Grid.UnitTests.Webhooks.Api;

/// <summary>The API on a free port, over subscriptions that a test makes up.</summary>
public sealed class WebhookApiHost : IAsyncLifetime
{
    private WebApplication _app = null!;

    internal FakeWebhooks Webhooks { get; } = new();

    public Uri Address { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { EnvironmentName = "Production" });
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Logging.ClearProviders();
        builder.Services.Configure<GridOptions>(o =>
        {
            o.Namespaces["secret"] = new NamespacePolicy { History = false };
            o.Namespaces["pointer"] = new NamespacePolicy { Durability = Durability.Ephemeral, History = false };
        });
        builder.Services.AddSingleton<IAuthenticator, FakeAuthenticator>();
        builder.Services.AddSingleton(Webhooks.Grains);
        builder.Services.AddSingleton(Webhooks.Store);
        builder.Services.AddSingleton(new NetworkRules(new WebhookNetworkOptions()));
        builder.Services.AddSingleton(Answering.Silent<ISecretStore>());
        builder.Services.AddSingleton(Answering.Silent<IChannelPublisher>());
        builder.Services.AddSingleton(Answering.Silent<IGridDirectory>());
        builder.Services.AddSingleton(Answering.Make<IChannelReader>(ReadChannel));
        builder.Services.AddSingleton(s => new MessageLogs(
            Answering.Make<IMessageLog>(ReadChannel), Answering.Silent<IMessageLog>(), s.GetRequiredService<NamespacePolicies>()));
        builder.Services.AddGridApi();
        _app = builder.Build();
        _app.MapGridApi();
        await _app.StartAsync();
        Address = new Uri(_app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
    }

    public async Task DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    /// <summary>Asks the server.</summary>
    /// <param name="method">The method.</param>
    /// <param name="path">Below <c>/v1/webhooks</c>; one that begins with <c>//</c> from the root.</param>
    /// <param name="body">The body, if any.</param>
    /// <param name="credential">Who asks; null: nobody.</param>
    public async Task<(HttpResponseMessage Response, string Text)> SendAsync(
        string method, string path, string? body = null, string? credential = FakeAuthenticator.Key)
    {
        using var client = new HttpClient();
        using var request = new HttpRequestMessage(
            new HttpMethod(method), new Uri(Address, path.StartsWith("//", StringComparison.Ordinal) ? path[1..] : "/v1/webhooks" + path));
        if (credential is not null) request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", credential);
        if (body is not null) request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        var response = await client.SendAsync(request);
        return (response, await response.Content.ReadAsStringAsync());
    }

    /// <summary>Asks, and expects a success with JSON.</summary>
    public async Task<JsonNode> JsonAsync(
        string method, string path, string? body = null, HttpStatusCode status = HttpStatusCode.OK, string credential = FakeAuthenticator.Key)
    {
        var (response, text) = await SendAsync(method, path, body, credential);
        using (response)
        {
            Assert.True(response.StatusCode == status, $"{response.StatusCode}: {text}");
            Assert.Equal("application/json", response.Content.Headers.ContentType?.MediaType);
            return JsonNode.Parse(text)!;
        }
    }

    /// <summary>Asks, and expects a success without a body.</summary>
    public async Task EmptyAsync(string method, string path, string? body = null, HttpStatusCode status = HttpStatusCode.NoContent)
    {
        var (response, text) = await SendAsync(method, path, body);
        using (response) Assert.Equal((status, ""), (response.StatusCode, text));
    }

    /// <summary>Asks, and expects a refusal; returns what it tells a person.</summary>
    public async Task<string> RefusedAsync(
        string method, string path, string? body, HttpStatusCode status, string code, string? credential = FakeAuthenticator.Key)
    {
        var (response, text) = await SendAsync(method, path, body, credential);
        using (response)
        {
            Assert.True(response.StatusCode == status, $"{method} {path} {body}: {response.StatusCode}: {text}");
            Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
            var problem = JsonNode.Parse(text)!;
            Assert.Equal(code, (string?)problem["code"]);
            return (string)problem["detail"]!;
        }
    }

    /// <summary>Messages with an even offset are kept; the others were taken by retention.</summary>
    private static object ReadChannel(string method, object?[] arguments)
    {
        if (method == "GetHeadsAsync")
            return new ValueTask<ChannelHead[]>([.. ((IReadOnlyList<ChannelId>)arguments[0]!).Select(c => new ChannelHead("e1", 1, c.Name == "room:none" ? 0 : 1_000_000))]);
        if (method != "ReadAsync") throw new InvalidOperationException(method);
        Assert.Equal("acme", ((ChannelId)arguments[0]!).Tenant);
        var offset = (long)arguments[1]! + 1;
        var head = new ChannelHead("e1", 1, 1_000_000);
        return new ValueTask<ChannelPage>(new ChannelPage(
            head, [new Message { Offset = offset + (offset % 2), At = 1, Payload = Payload.Json("{\"n\" : 1}"u8.ToArray()) }]));
    }
}

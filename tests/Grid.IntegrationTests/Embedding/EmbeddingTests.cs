using System.Net;
using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Grid.Client;
using Grid.Protocol;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Embedding;

/// <summary>Grid inside somebody else's application: each does its own, and neither gets into the other's way.</summary>
public class EmbeddingTests(ShopApp app) : IClassFixture<ShopApp>
{
    [Fact]
    public async Task A_grain_of_the_application_publishes_and_reads_and_a_socket_receives()
    {
        using var http = app.Http();
        using var shop = Shop("ann");
        await using var client = await RawClient.OpenAsync(app.Address, new() { Token = await http.TokenAsync("ana") });
        await client.SubscribeAsync("orders:books");
        for (var i = 1; i <= 3; i++)
            Assert.Equal($"{i}", await TextAsync(await shop.PostAsync(new Uri($"/shop/books/orders/book-{i}", UriKind.Relative), null)));

        var received = await client.MessageAsync("orders:books", 3);
        Assert.Equal(("""{"item":"book-3"}""", "order.placed", "books-3"), (received.Payload, received.String("event"), received.String("key")));
        Assert.False(received.Has("from"));
        Assert.Equal([1L, 2L, 3L], client.Messages("orders:books").Select(m => m.Offset));

        // What clients publish is in the same channel, for the grain too.
        var published = await client.PublishAsync("orders:books", """{"item":"from a client"}""");
        Assert.Equal(4, published.Offset);
        var history = JsonSerializer.Deserialize<string[]>(await TextAsync(await shop.GetAsync(new Uri("/shop/books/orders", UriKind.Relative))))!;
        Assert.Equal(["""{"item":"book-1"}""", """{"item":"book-2"}""", """{"item":"book-3"}""", """{"item":"from a client"}"""], history);
        Assert.Equal(history, (await http.HistoryAsync("orders:books")).Messages.Select(m => m.Payload));
        Assert.Empty(app.Errors);
    }

    [Fact]
    public async Task Each_side_keeps_its_own_authentication()
    {
        using var stranger = new HttpClient { BaseAddress = app.Address };
        using var shop = Shop("ann");
        using var grid = app.Http();

        Assert.Equal("hello ann", await TextAsync(await shop.GetAsync(new Uri("/hello", UriKind.Relative))));
        var refused = await stranger.GetAsync(new Uri("/hello", UriKind.Relative));
        Assert.Equal((HttpStatusCode.Unauthorized, "Shop"), (refused.StatusCode, $"{refused.Headers.WwwAuthenticate}"));
        Assert.Equal(HttpStatusCode.Unauthorized, (await stranger.GetAsync(new Uri("/shop/books/orders", UriKind.Relative))).StatusCode);

        // Grid's key is nobody in the shop, and the shop's user is nobody in Grid.
        Assert.Equal(HttpStatusCode.Unauthorized, (await grid.GetAsync("/hello")).Status);
        var unknown = await shop.GetAsync(new Uri("/v1/channels/room:1", UriKind.Relative));
        Assert.Equal(HttpStatusCode.Unauthorized, unknown.StatusCode);
        Assert.Contains("Bearer", $"{unknown.Headers.WwwAuthenticate}", StringComparison.Ordinal);
        (await grid.GetAsync("/v1/channels/room:1")).Ok();

        // What Grid leaves open to anybody, or checks by itself, the shop's fallback policy does not close.
        foreach (var open in new[] { "/healthz", "/readyz", "/openapi/v1.json" })
            Assert.Equal(HttpStatusCode.OK, (await stranger.GetAsync(new Uri(open, UriKind.Relative))).StatusCode);
        await using var socket = await RawClient.OpenAsync(app.Address, new() { Token = await grid.TokenAsync("ana"), TokenPlace = TokenPlace.Hello });
        Assert.Equal("new", socket.Welcome!.State);
        await using var bad = await RawClient.ConnectAsync(app.Address, new() { Token = "no such token", TokenPlace = TokenPlace.Hello });
        bad.Send(ClientFrames.Hello("no such token"));
        Assert.Equal(4501, (await bad.ClosedAsync()).Code);
    }

    [Fact]
    public async Task The_applications_own_sockets_still_work()
    {
        using var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader(ShopHandler.Header, "ann");
        await socket.ConnectAsync(new Uri($"ws://{app.Address.Authority}/echo"), CancellationToken.None);
        await socket.SendAsync("ping"u8.ToArray(), WebSocketMessageType.Text, true, CancellationToken.None);
        var buffer = new byte[16];
        var received = await socket.ReceiveAsync(buffer.AsMemory(), CancellationToken.None);
        Assert.Equal("ping", Encoding.UTF8.GetString(buffer.AsSpan(0, received.Count)));
        await socket.CloseAsync(WebSocketCloseStatus.NormalClosure, null, CancellationToken.None);
    }

    [Fact]
    public async Task The_description_is_grids_alone()
    {
        using var http = new HttpClient { BaseAddress = app.Address };
        var document = JsonElement.Parse(await TextAsync(await http.GetAsync(new Uri("/openapi/v1.json", UriKind.Relative))));
        Assert.StartsWith("3.", document.GetProperty("openapi").GetString(), StringComparison.Ordinal);
        var paths = document.GetProperty("paths").EnumerateObject().Select(p => p.Name).ToList();
        Assert.Contains("/v1/tokens", paths);
        Assert.Contains("/v1/channels/{channel}/messages", paths);
        Assert.Contains("/v1/sessions", paths);
        Assert.DoesNotContain(paths, p => p.StartsWith("/shop", StringComparison.Ordinal) || p == "/hello");
        Assert.Contains("html", await TextAsync(await http.GetAsync(new Uri("/docs", UriKind.Relative))), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task The_dashboard_is_closed_to_all_but_administrators()
    {
        var path = new Uri("/dashboard/", UriKind.Relative);
        using var stranger = new HttpClient { BaseAddress = app.Address };
        using var shop = Shop("ann");
        using var server = new HttpClient { BaseAddress = app.Address };
        server.DefaultRequestHeaders.Authorization = new("Bearer", ShopApp.ApiKey);
        foreach (var nobody in new[] { stranger, shop, server })
        {
            foreach (var inside in new[] { path, new Uri("/dashboard/DashboardCounters", UriKind.Relative) })
            {
                var refused = await nobody.GetAsync(inside);
                Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
                Assert.Contains("Basic", $"{refused.Headers.WwwAuthenticate}", StringComparison.Ordinal);
            }
        }

        using var admin = new HttpClient { BaseAddress = app.Address };
        admin.DefaultRequestHeaders.Authorization = new("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"admin:{ShopApp.ApiKey}")));
        Assert.Equal(HttpStatusCode.OK, (await admin.GetAsync(path)).StatusCode);
    }

    private HttpClient Shop(string user)
    {
        var client = new HttpClient { BaseAddress = app.Address };
        client.DefaultRequestHeaders.Add(ShopHandler.Header, user);
        return client;
    }

    private static async Task<string> TextAsync(HttpResponseMessage answer) =>
        await answer.EnsureSuccessStatusCode().Content.ReadAsStringAsync();
}

/// <summary>Grid below a path of its own.</summary>
public class PrefixTests(PrefixedShopApp app) : IClassFixture<PrefixedShopApp>
{
    [Fact]
    public async Task Everything_is_found_below_the_prefix_and_only_there()
    {
        using var deadline = TestDeadline.In(60);
        using var http = new HttpClient();
        var server = new GridServerClient(http, new Uri(app.Address, PrefixedShopApp.Prefix), ShopApp.ApiKey);
        var capabilities = new Dictionary<string, IReadOnlyList<string>> { ["*"] = ["subscribe", "publish", "history"] };
        var token = (await server.MintTokenAsync("ana", TimeSpan.FromHours(1), capabilities)).Token;
        await using var client = new GridClient(new GridClientOptions { Uri = new Uri(app.Address, PrefixedShopApp.Prefix + "/v1/ws"), Token = token });
        await client.ConnectAsync(deadline.Token);
        await server.PublishAsync("room:1", Payload.Json("1"u8.ToArray()));
        await client.PublishAsync("room:1", Payload.Json("2"u8.ToArray()));
        var offsets = new List<long>();
        await foreach (var message in client.ReadAsync("room:1", StartPoint.Start, cancellationToken: deadline.Token))
        {
            offsets.Add(message.Offset);
            if (message.Offset == 2) break;
        }

        Assert.Equal([1L, 2L], offsets);
        using var stranger = new GridHttp(app.Address, null);
        foreach (var path in new[] { "/healthz", "/readyz", "/openapi/v1.json", "/docs" })
        {
            (await stranger.GetAsync(PrefixedShopApp.Prefix + path)).Ok();
            Assert.NotEqual(HttpStatusCode.OK, (await stranger.GetAsync(path)).Status);
        }

        var document = (await stranger.GetAsync(PrefixedShopApp.Prefix + "/openapi/v1.json")).Json;
        Assert.Contains(PrefixedShopApp.Prefix + "/v1/tokens", document.GetProperty("paths").EnumerateObject().Select(p => p.Name));
        Assert.Equal(HttpStatusCode.Unauthorized, (await stranger.GetAsync(PrefixedShopApp.Prefix + "/dashboard/")).Status);

        Assert.Equal("application/problem+json", (await stranger.GetAsync(PrefixedShopApp.Prefix + "/v1/channels/room:1")).ContentType);
        Assert.Contains("openapi/v1.json", (await stranger.GetAsync(PrefixedShopApp.Prefix + "/docs/")).Text, StringComparison.Ordinal);
        Assert.Empty(app.Errors);
    }
}

using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Lifecycle;

/// <summary>How the host starts, refuses to start, and ends.</summary>
public class LifecycleTests
{
    [Fact]
    public async Task A_second_process_on_the_same_data_is_refused()
    {
        await using var first = await HostProcess.RunAsync();
        await using var second = new HostProcess(dataDirectory: first.DataDirectory);
        await RefusedAsync(second, first.DataDirectory);
        Assert.True(first.IsRunning);
        using var http = first.Http();
        await http.PublishAsync("room:1", "1");
    }

    [Fact]
    public async Task An_unwritable_data_directory_is_refused()
    {
        // A file where the folder should be stops root, too.
        using var folder = new TestFolder("unwritable");
        await File.WriteAllTextAsync(folder["file"], "in the way");
        await using var host = new HostProcess(dataDirectory: Path.Combine(folder["file"], "data"));
        await RefusedAsync(host, folder["file"]);
    }

    [Fact]
    public async Task A_taken_port_is_refused()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        await using var host = new HostProcess(port: port);
        await RefusedAsync(host, $"{port}");
    }

    [Theory]
    [InlineData("ConnectionStrings__Postgres", "Host=127.0.0.1;Database=grid", "Redis")]
    [InlineData("ConnectionStrings__Redis", "127.0.0.1:6379", "Postgres")]
    public async Task One_connection_string_alone_is_refused(string name, string value, string missing)
    {
        await using var host = new HostProcess([new(name, value)]);
        await RefusedAsync(host, missing);
    }

    [Fact]
    public async Task The_first_start_shows_a_key_once()
    {
        await using var host = new HostProcess([new("Grid__Bootstrap__ApiKey", null)]);
        await WelcomedAsync(host, starts: 1);
        string? key = null;
        foreach (var candidate in host.Output.Lines.SelectMany(l => Regex.Matches(l, @"[A-Za-z0-9_\-.]{20,}").Select(m => m.Value)))
        {
            using var tried = new GridHttp(host.Address, candidate);
            if ((await tried.GetAsync("/v1/channels/room:1")).Status == HttpStatusCode.OK) key = candidate;
        }

        Assert.True(key is not null, $"no line shows a key that works\n{host.Output.Tail()}");
        Assert.Contains(host.Output.Lines, l => l.Contains(host.Address.ToString().TrimEnd('/'), StringComparison.Ordinal));
        Assert.Contains(host.Output.Lines, l => l.Contains(host.DataDirectory, StringComparison.Ordinal));
        await host.KillAsync();
        var shown = host.Output.Lines.Count(l => l.Contains(key, StringComparison.Ordinal));
        await WelcomedAsync(host, starts: 2);
        using var http = new GridHttp(host.Address, key);
        (await http.GetAsync("/v1/channels/room:1")).Ok();
        Assert.Equal(shown, host.Output.Lines.Count(l => l.Contains(key, StringComparison.Ordinal)));

        // Nor is it in the data: keys are stored hashed.
        foreach (var file in Directory.EnumerateFiles(host.DataDirectory, "*", SearchOption.AllDirectories))
        {
            await using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            using var reader = new StreamReader(stream, System.Text.Encoding.Latin1);
            Assert.False((await reader.ReadToEndAsync()).Contains(key, StringComparison.Ordinal), $"{file} holds the key");
        }
    }

    [Fact]
    public async Task The_bootstrap_key_works_and_outlives_a_start_without_it()
    {
        using var folder = new TestFolder("bootstrap");
        await using (var first = await HostProcess.RunAsync([new("Grid__Bootstrap__ApiKey", "my-own-key-of-the-tenant-0123456789")], folder["data"]))
        {
            using var http = first.Http();
            await http.PublishAsync("room:1", "1");
        }

        await using var second = await HostProcess.RunAsync([new("Grid__Bootstrap__ApiKey", null)], folder["data"]);
        using var again = new GridHttp(second.Address, "my-own-key-of-the-tenant-0123456789");
        Assert.Equal("1", Assert.Single((await again.HistoryAsync("room:1")).Messages).Payload);
    }

    [Fact]
    public async Task Sigterm_drains_and_a_resume_repeats_nothing_acknowledged()
    {
        await using var host = await HostProcess.RunAsync(new Dictionary<string, string?>
        {
            // Long, so that only the drain can have written what was acknowledged.
            ["Grid__CheckpointInterval"] = "00:05:00",
            ["Grid__DrainSpan"] = "00:00:01",
        });
        using var http = host.Http();
        var clients = new List<RawClient>();
        try
        {
            for (var i = 0; i < 10; i++)
            {
                clients.Add(await RawClient.OpenAsync(host.Address, new() { Token = await http.TokenAsync($"user-{i}") }));
                await clients[i].SubscribeAsync("room:1");
            }

            for (var i = 1; i <= 20; i++) await http.PublishAsync("room:1", $"{i}");
            for (var i = 0; i < 10; i++)
            {
                await clients[i].MessageAsync("room:1", 20);
                clients[i].Ack("room:1", 10 + i);
                await clients[i].PingAsync();
            }

            host.Terminate();
            foreach (var client in clients)
            {
                var goaway = await client.WaitAsync(f => f.Type == "goaway", "goaway");
                Assert.Equal("drain", goaway.String("reason"));
                Assert.True(goaway.Number("reconnectInMs") >= 0, goaway.Text);
                Assert.Equal(4000, (await client.ClosedAsync()).Code);
            }

            Assert.Equal(0, await host.ExitAsync());
            Assert.Empty(host.Output.Errors);
            await host.StartAsync();
            for (var i = 0; i < 10; i++)
            {
                var resume = new RawResume(clients[i].Welcome!.Session, clients[i].Welcome!.ResumeToken);
                await using var again = await RawClient.OpenAsync(host.Address, new() { Token = await http.TokenAsync($"user-{i}") }, resume);
                Assert.Equal("resumed", again.Welcome!.State);
                Assert.Equal(10 + i, again.Welcome.Subscriptions["room:1"].Cursor);
                await again.MessageAsync("room:1", 20);
                Assert.Equal(Enumerable.Range(11 + i, 10 - i).Select(n => (long)n), again.Messages("room:1").Select(m => m.Offset));
            }
        }
        finally
        {
            foreach (var client in clients) await client.DisposeAsync();
        }
    }

    [Fact]
    public async Task While_it_drains_it_takes_no_new_traffic()
    {
        await using var host = await HostProcess.RunAsync([new("Grid__DrainSpan", "00:00:03")]);
        using var http = host.Http();
        var clients = new List<RawClient>();
        try
        {
            for (var i = 0; i < 20; i++) clients.Add(await RawClient.OpenAsync(host.Address, new() { Token = await http.TokenAsync("ana") }));
            host.Terminate();
            await Task.WhenAny(clients.Select(c => c.WaitAsync(f => f.Type == "goaway", "goaway")));
            HttpStatusCode? ready = null;
            try
            {
                ready = (await http.GetAsync("/readyz")).Status;
            }
            catch (Exception e) when (e is HttpRequestException or SocketException)
            {
                // It listens no more, which says the same.
            }

            Assert.NotEqual(HttpStatusCode.OK, ready);
            Assert.Equal(0, await host.ExitAsync());
        }
        finally
        {
            foreach (var client in clients) await client.DisposeAsync();
        }
    }

    [Fact]
    public async Task An_ephemeral_channel_has_a_new_epoch_after_a_restart()
    {
        await using var host = await HostProcess.RunAsync([new("Grid__Namespaces__eph__Durability", "Ephemeral")]);
        using var http = host.Http();
        var token = await http.TokenAsync("ana");
        await using var client = await RawClient.OpenAsync(host.Address, new() { Token = token });
        var epoch = (await client.SubscribeAsync("eph:1")).Epoch;
        for (var i = 1; i <= 5; i++) await http.PublishAsync("eph:1", $"{i}");
        await client.MessageAsync("eph:1", 5);
        await host.KillAsync();
        await host.StartAsync();
        var cursors = new Dictionary<string, RawPosition> { ["eph:1"] = new(epoch, 5) };
        await using var again = await RawClient.OpenAsync(
            host.Address, new() { Token = token }, new RawResume(client.Welcome!.Session, client.Welcome.ResumeToken, cursors));
        var gap = await again.WaitAsync(f => f.Type == "gap", "gap");
        Assert.Equal(("epoch", 1, 0), (gap.String("reason"), gap.Number("from"), gap.Number("to")));
        Assert.NotEqual(epoch, gap.Epoch);
        var published = await again.PublishAsync("eph:1", "\"new\"");
        Assert.Equal(new RawPosition(gap.Epoch, 1), published.Position);
        Assert.Equal("\"new\"", (await again.MessageAsync("eph:1", 1)).Payload);
    }

    [Fact]
    public async Task Keys_are_remembered_through_a_kill()
    {
        await using var host = await HostProcess.RunAsync();
        using var http = host.Http();
        var first = await http.PublishAsync("room:1", "1", "k");
        await host.KillAsync();
        await host.StartAsync();
        var again = (await http.PostAsync(GridHttp.ChannelPath("room:1", "/messages"), """{"data":1,"key":"k"}""")).Ok().Json;
        Assert.True(again.GetProperty("duplicate").GetBoolean());
        Assert.Equal((first.Epoch, first.Offset), (again.GetProperty("epoch").GetString(), again.GetProperty("offset").GetInt64()));
        Assert.Equal(1, (await http.HistoryAsync("room:1")).Head);
    }

    /// <summary>Starts the host and waits until it has said all that it says at a start, which may be a moment after it is ready.</summary>
    private static async Task WelcomedAsync(HostProcess host, int starts)
    {
        await host.StartAsync();
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            () => host.Output.Lines.Count(l => l.Contains("curl -H", StringComparison.Ordinal)) == starts, () => $"the host says what to try\n{host.Output.Tail()}");
    }

    /// <summary>The host ends by itself, not with 0, and says why in a line that names the culprit, without a stack trace.</summary>
    private static async Task RefusedAsync(HostProcess host, string named)
    {
        await host.LaunchAsync();
        Assert.NotEqual(0, await host.ExitAsync());
        Assert.Contains(host.Output.Lines.Skip(1), l => l.Contains(named, StringComparison.OrdinalIgnoreCase));
        Assert.False(host.Output.Lines.Any(l => l.Contains("   at ", StringComparison.Ordinal)), $"a stack trace is no message\n{host.Output.Tail()}");
    }
}

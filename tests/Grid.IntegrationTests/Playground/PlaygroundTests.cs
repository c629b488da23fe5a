using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Grid.IntegrationTests.Playground;

/// <summary>The page as visitors use it: two of them, with a real host behind.</summary>
public class PlaygroundTests(Browser browser) : IClassFixture<Browser>
{
    [Fact]
    public async Task A_message_a_stroke_and_a_pointer_travel()
    {
        await using var ana = await browser.OpenAsync("travel");
        await using var bob = await browser.OpenAsync("travel");
        await ana.SayAsync("hello from ana");
        Assert.Equal(["#1 hello from ana"], await bob.ChatAsync(1));
        await bob.SayAsync("hello <b>back</b>");
        Assert.Equal(["#1 hello from ana", "#2 hello <b>back</b>"], await ana.ChatAsync(2));

        await ana.DrawAsync((0.2, 0.3), (0.5, 0.7), (0.8, 0.3));
        await Expect(bob["pointer"]).ToHaveCountAsync(1);
        await bob.StrokesAsync(1);
        await ana.StrokesAsync(1);

        // Who comes later sees what was drawn and said.
        await using var cleo = await browser.OpenAsync("travel");
        await cleo.StrokesAsync(1);
        Assert.Equal(await ana.ChatAsync(2), await cleo.ChatAsync(2));
        await Expect(ana["people"]).ToHaveAttributeAsync("data-count", "3");

        await ana["clear"].ClickAsync();
        foreach (var page in new[] { ana, bob, cleo }) await page.StrokesAsync(0);
        foreach (var page in new[] { ana, bob, cleo }) Assert.Empty(page.Complaints);
    }

    [Fact]
    public async Task A_cut_socket_and_a_time_offline_lose_and_repeat_nothing()
    {
        await using var ana = await browser.OpenAsync("cut");
        await using var bob = await browser.OpenAsync("cut");
        await ana.SayAsync("before");
        await bob.ChatAsync(1);
        var session = await ana["session-id"].GetAttributeAsync("title");

        await ana["cut"].ClickAsync();
        await bob.SayAsync("during the cut");
        await Expect(ana["resumes"]).ToHaveTextAsync("1");
        await ana.RecoveredAsync();
        Assert.Equal(await bob.ChatAsync(2), await ana.ChatAsync(2));

        // Offline, both write and draw: what the others say waits on the server, what this page says waits in it.
        await ana["offline"].ClickAsync();
        await Expect(ana["state-pill"]).ToHaveAttributeAsync("data-state", "offline");
        await ana.SayAsync("waits in the page");
        await ana.DrawAsync((0.1, 0.1), (0.9, 0.9));
        await Expect(ana["chat-pending"]).ToHaveCountAsync(1);
        await Expect(ana["board"]).ToHaveAttributeAsync("data-pending", "1");
        for (var i = 1; i <= 3; i++) await bob.SayAsync($"waits on the server {i}");
        await bob.DrawAsync((0.9, 0.1), (0.1, 0.9));
        await bob.ChatAsync(5);
        await ana["offline"].ClickAsync();

        await Expect(ana["resumes"]).ToHaveTextAsync("2");
        await ana.RecoveredAsync();
        var chat = await bob.ChatAsync(6);
        Assert.Equal(
            ["#1 before", "#2 during the cut", "#3 waits on the server 1", "#4 waits on the server 2", "#5 waits on the server 3", "#6 waits in the page"],
            chat);
        Assert.Equal(chat, await ana.ChatAsync(6));
        foreach (var page in new[] { ana, bob })
        {
            await page.StrokesAsync(2);
            await Expect(page["gaps"]).ToHaveTextAsync("0");
            await Expect(page["repeats"]).ToHaveTextAsync("0");
            Assert.Empty(page.Complaints);
        }

        Assert.Equal(session, await ana["session-id"].GetAttributeAsync("title"));
    }

    [Fact]
    public async Task A_killed_server_loses_and_repeats_nothing()
    {
        await using var ana = await browser.OpenAsync("kill");
        await using var bob = await browser.OpenAsync("kill");
        PlaygroundPage[] both = [ana, bob];
        await ana.SayAsync("before");
        await ana.DrawAsync((0.2, 0.2), (0.8, 0.2));
        foreach (var page in both)
        {
            await page.ChatAsync(1);
            await page.StrokesAsync(1);
        }

        var sessions = await Task.WhenAll(both.Select(p => p["session-id"].GetAttributeAsync("title")));
        await ana["kill"].ClickAsync();
        await Expect(ana["kill-dialog"]).ToBeVisibleAsync();
        await browser.Host.KillAsync();
        foreach (var page in both) await Expect(page["state-pill"]).ToHaveAttributeAsync("data-state", "reconnecting");
        await ana.PictureAsync("killed", whole: false);
        await ana["kill-close"].ClickAsync();
        for (var i = 0; i < both.Length; i++)
        {
            for (var n = 1; n <= 3; n++) await both[i].SayAsync($"outage {i} {n}");
            await both[i].DrawAsync((0.2, 0.4 + (0.2 * i)), (0.8, 0.4 + (0.2 * i)));
            await Expect(both[i]["chat-pending"].Locator("p")).ToHaveTextAsync([$"outage {i} 1", $"outage {i} 2", $"outage {i} 3"]);
        }

        await browser.Host.StartAsync();
        foreach (var page in both)
        {
            await Expect(page["resumes"]).ToHaveTextAsync("1");
            await page.RecoveredAsync();
            await page.StrokesAsync(3);
        }

        var chat = await ana.ChatAsync(7);
        Assert.Equal(chat, await bob.ChatAsync(7));
        Assert.Equal(Enumerable.Range(1, 7).Select(n => $"#{n}"), chat.Select(line => line.Split(' ')[0]));
        for (var i = 0; i < both.Length; i++)
        {
            // Each author's in the order of writing, once.
            Assert.Equal(
                Enumerable.Range(1, 3).Select(n => $"outage {i} {n}"),
                chat.Select(line => line[(line.IndexOf(' ', StringComparison.Ordinal) + 1)..]).Where(t => t.StartsWith($"outage {i}", StringComparison.Ordinal)));
        }

        Assert.Equal(sessions, await Task.WhenAll(both.Select(p => p["session-id"].GetAttributeAsync("title"))));

        // That nobody listens on the port, or that it ends in the middle of a handshake, the browser says by itself, and only that.
        foreach (var page in both)
            Assert.All(page.Complaints, c => Assert.Matches("net::ERR_CONNECTION_REFUSED|^error: WebSocket connection to ", c));
        Assert.Empty(browser.Host.Output.Errors);
    }

    [Theory]
    [InlineData("desktop-light", ColorScheme.Light, 1280, 900)]
    [InlineData("desktop-dark", ColorScheme.Dark, 1280, 900)]
    [InlineData("phone-light", ColorScheme.Light, 390, 844)]
    [InlineData("phone-dark", ColorScheme.Dark, 390, 844)]
    public async Task It_fits_desktop_and_phone_in_light_and_dark(string name, ColorScheme scheme, int width, int height)
    {
        var options = new BrowserNewContextOptions
        {
            ColorScheme = scheme,
            ViewportSize = new() { Width = width, Height = height },
            HasTouch = width < 600,
            IsMobile = width < 600,
            DeviceScaleFactor = width < 600 ? 2 : 1,
        };
        await using var bob = await browser.OpenAsync(name);
        await using var ana = await browser.OpenAsync(name, options);
        await bob.SayAsync("Draw something!");
        await bob.DrawAsync((0.15, 0.75), (0.3, 0.3), (0.45, 0.75), (0.2, 0.55), (0.4, 0.55));
        await bob.DrawAsync((0.55, 0.3), (0.8, 0.3), (0.8, 0.75), (0.55, 0.75), (0.55, 0.3));
        await ana.SayAsync("A house is on its way. And a longer sentence, to see where lines break on a narrow screen.");
        await ana.ChatAsync(2);
        await ana.StrokesAsync(2);
        await ana["cut"].ClickAsync();
        await ana.RecoveredAsync();
        await bob.DrawAsync((0.5, 0.2), (0.68, 0.05), (0.86, 0.2));
        await ana.StrokesAsync(3);
        await ana["hook-make"].ClickAsync();
        await ana["hook-publish-many"].ClickAsync();
        await Expect(ana["hook-attempt"]).ToHaveCountAsync(20);
        await ana.PictureAsync(name);

        // Nothing sticks out to the side.
        var body = await ana.Page.Locator("body").BoundingBoxAsync();
        Assert.Equal(width, body!.Width);
        string[] parts =
        [
            "board", "chat-list", "chat-input", "cut", "offline", "kill", "frames", "cursors", "room", "nickname", "hooks", "hook-make",
            "hook-publish", "hook-remove", "hook-attempts", "hook-dead",
        ];
        foreach (var part in parts)
        {
            var box = await ana[part].BoundingBoxAsync();
            Assert.True(box is { X: >= 0 } && box.X + box.Width <= width + 0.5, $"{part} is at {box?.X}, {box?.Width} wide");
        }

        Assert.Empty(ana.Complaints);
        Assert.Empty(bob.Complaints);
    }
}

using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Grid.IntegrationTests.Playground;

/// <summary>Webhooks as visitors use them: made, used, broken and mended on the page, with a real host that delivers to itself.</summary>
public class HooksTests(Browser browser) : IClassFixture<Browser>
{
    [Fact]
    public async Task A_webhook_is_made_used_broken_and_mended()
    {
        await using var ana = await browser.OpenAsync("hooks");
        await MakeAsync(ana);
        await ana["hook-publish"].ClickAsync();
        await Expect(Attempts(ana, succeeded: true)).ToHaveCountAsync(1);
        await AcceptedAsync(ana, 1);

        // Who else is in the room sees it, too.
        await using var bob = await browser.OpenAsync("hooks");
        await Expect(bob["hook"]).ToHaveCountAsync(1);
        await Expect(Attempts(bob, succeeded: true)).ToHaveCountAsync(1);

        await BreakAsync(ana, "error");
        await ana["hook-publish-many"].ClickAsync();
        await Expect(Attempts(ana, succeeded: false).First).ToBeVisibleAsync();
        await Expect(ana["hook"]).ToHaveAttributeAsync("data-circuit", "open");
        await Expect(Event(ana, "webhook.failing")).ToHaveCountAsync(1);
        await Expect(Event(ana, "webhook.circuit_opened")).ToHaveCountAsync(1);

        await BreakAsync(bob, "ok");
        await Expect(ana["does-ok"]).ToBeCheckedAsync();
        await AcceptedAsync(ana, 21);
        await Expect(Event(ana, "webhook.recovered")).ToHaveCountAsync(1);
        await Expect(ana["hook"]).ToHaveAttributeAsync("data-circuit", "closed");
        await Expect(ana["hook-received"]).ToHaveAttributeAsync("data-repeats", "0");

        // Everything once more, under the same ids.
        await ana["hook-replay"].ClickAsync();
        await Expect(ana["hook-received"]).ToHaveAttributeAsync("data-repeats", "21");
        await AcceptedAsync(ana, 21);

        await ana["hook-remove"].ClickAsync();
        foreach (var page in new[] { ana, bob })
        {
            await Expect(page["hook"]).ToHaveCountAsync(0);
            Assert.Empty(page.Complaints);
        }
    }

    [Fact]
    public async Task A_pause_a_410_and_a_kill_lose_nothing()
    {
        await using var ana = await browser.OpenAsync("hooks-kill");
        await MakeAsync(ana);
        await ana["hook-test"].ClickAsync();
        await Expect(Attempts(ana, succeeded: true)).ToHaveCountAsync(1);

        await ana["hook-pause"].ClickAsync();
        await Expect(ana["hook"]).ToHaveAttributeAsync("data-status", "paused");
        await ana["hook-publish"].ClickAsync();
        await Expect(ana["hook-pause"]).ToHaveTextAsync("Resume");
        await ana["hook-pause"].ClickAsync();

        // The test event is a message as well.
        await AcceptedAsync(ana, 2);

        await BreakAsync(ana, "gone");
        await ana["hook-publish"].ClickAsync();
        await Expect(ana["hook"]).ToHaveAttributeAsync("data-status", "disabled");
        await Expect(Event(ana, "webhook.disabled")).ToHaveCountAsync(1);
        await BreakAsync(ana, "ok");
        await Expect(ana["hook-disable"]).ToHaveTextAsync("Enable");
        await ana["hook-disable"].ClickAsync();
        await AcceptedAsync(ana, 3);

        // The receiver lives in memory, and forgets its secret; the page tells it a new one.
        await browser.Host.KillAsync();
        await Expect(ana["state-pill"]).ToHaveAttributeAsync("data-state", "reconnecting");
        await ana["hook-publish"].ClickAsync();
        await browser.Host.StartAsync();
        await Expect(ana.Page.Locator("[data-testid=hook-request][data-offset='3'] .good")).ToHaveCountAsync(1);
        Assert.Empty(browser.Host.Output.Errors);
    }

    [Fact]
    public async Task What_cannot_be_delivered_is_a_dead_letter_until_it_is_redriven()
    {
        await using var ana = await browser.OpenAsync("hooks-dead");
        await ana["hook-mode"].SelectOptionAsync("ordered");
        await MakeAsync(ana);

        // The retries of a page take a minute; a subscription of fewer is made beside it, by the same calls.
        await ana.Page.EvaluateAsync(
            """
            async () => {
              const { GridWebhooks } = await import('/sdk/webhook-api.js');
              const { token } = await (await fetch('/playground/token', { method: 'POST' })).json();
              const webhooks = new GridWebhooks({ url: '/playground', apiKey: token });
              for await (const { id } of webhooks.list()) await webhooks.update(id, { retry: { schedule: [0, 0] } });
            }
            """);
        await BreakAsync(ana, "reject");
        await ana["hook-publish"].ClickAsync();
        await Expect(ana["hook-dead-letter"]).ToHaveCountAsync(1);
        await Expect(Event(ana, "webhook.exhausted")).ToHaveCountAsync(1);
        await BreakAsync(ana, "ok");
        await ana["hook-redrive"].ClickAsync();
        await AcceptedAsync(ana, 1);
        await Expect(ana["hook-dead-letter"]).ToHaveCountAsync(0);
        Assert.Empty(ana.Complaints);
    }

    private static async Task MakeAsync(PlaygroundPage page)
    {
        await page["hook-make"].ClickAsync();
        await Expect(page["hook"]).ToHaveCountAsync(1);
        await Expect(page["does-ok"]).ToBeCheckedAsync();
        await Expect(page["hook-say"]).ToHaveAttributeAsync("data-mood", "good");
    }

    /// <summary>Chooses what the receiver answers, and waits until it is told. The input lies unseen over its label.</summary>
    private static async Task BreakAsync(PlaygroundPage page, string behaviour)
    {
        await page.Page.RunAndWaitForResponseAsync(
            () => page[$"does-{behaviour}"].CheckAsync(new() { Force = true }),
            response => response.Request.Method == "PUT" && response.Ok);
    }

    private static Task AcceptedAsync(PlaygroundPage page, int count) =>
        Expect(page["hook-received"]).ToHaveAttributeAsync("data-accepted", count.ToString(System.Globalization.CultureInfo.InvariantCulture));

    private static ILocator Attempts(PlaygroundPage page, bool succeeded) =>
        page.Page.Locator($"[data-testid=hook-attempt][data-succeeded={(succeeded ? "true" : "false")}]");

    private static ILocator Event(PlaygroundPage page, string name) =>
        page.Page.Locator($"[data-testid=hook-event][data-event='{name}']");
}

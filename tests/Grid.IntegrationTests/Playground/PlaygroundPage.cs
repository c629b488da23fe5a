using Grid.Testing;
using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Playwright;
using static Microsoft.Playwright.Assertions;

namespace Grid.IntegrationTests.Playground;

/// <summary>One open playground page, by its <c>data-testid</c>s (listed at the top of <c>js/app.js</c>).</summary>
internal sealed class PlaygroundPage(IBrowserContext context, IPage page) : IAsyncDisposable
{
    private readonly ConcurrentQueue<string> _complaints = new();

    /// <summary>Errors and warnings of the console, exceptions, requests that failed.</summary>
    public IReadOnlyCollection<string> Complaints => _complaints;

    public IPage Page => page;

    public ILocator this[string testId] => page.GetByTestId(testId);

    /// <summary>Goes to the address and waits until the page is connected and follows its channels.</summary>
    public async Task OpenAsync(Uri address)
    {
        page.Console += (_, message) =>
        {
            if (message.Type is "error" or "warning") _complaints.Enqueue($"{message.Type}: {message.Text} ({message.Location})");
        };
        page.PageError += (_, error) => _complaints.Enqueue($"exception: {error}");
        await page.GotoAsync(address.ToString());
        await Expect(this["state-pill"]).ToHaveAttributeAsync("data-state", "connected");
        foreach (var channel in new[] { "board", "chat", "pointer" })
            await Expect(this[$"cursor-{channel}"]).ToHaveTextAsync(new System.Text.RegularExpressions.Regex("^[0-9]+$"));
    }

    /// <summary>Writes a message; it need not have got anywhere when this ends.</summary>
    public async Task SayAsync(string text)
    {
        await this["chat-input"].FillAsync(text);
        await this["chat-send"].ClickAsync();
    }

    /// <summary>Draws a stroke across the board, given as parts of its width and height.</summary>
    public async Task DrawAsync(params (double X, double Y)[] points)
    {
        await this["board"].ScrollIntoViewIfNeededAsync();
        var box = await this["board"].BoundingBoxAsync() ?? throw new InvalidOperationException("The board is not visible.");
        (float, float) At((double X, double Y) p) => ((float)(box.X + (p.X * box.Width)), (float)(box.Y + (p.Y * box.Height)));
        var (x, y) = At(points[0]);
        await page.Mouse.MoveAsync(x, y);
        await page.Mouse.DownAsync();
        foreach (var point in points[1..])
        {
            (x, y) = At(point);
            await page.Mouse.MoveAsync(x, y, new() { Steps = 6 });
        }

        await page.Mouse.UpAsync();
    }

    /// <summary>Waits until so many strokes are in the channel, as this page has it, and none waits.</summary>
    public async Task StrokesAsync(int count)
    {
        await Expect(this["board"]).ToHaveAttributeAsync("data-strokes", count.ToString(CultureInfo.InvariantCulture));
        await Expect(this["board"]).ToHaveAttributeAsync("data-pending", "0");
    }

    /// <summary>Waits until so many chat messages are here, and none waits; their offsets and texts, from top to bottom.</summary>
    public async Task<IReadOnlyList<string>> ChatAsync(int count)
    {
        await Expect(this["chat-item"]).ToHaveCountAsync(count);
        await Expect(this["chat-pending"]).ToHaveCountAsync(0);
        var texts = await this["chat-item"].Locator("p").AllInnerTextsAsync();
        var offsets = await this["chat-offset"].AllInnerTextsAsync();
        return [.. offsets.Zip(texts, (offset, text) => $"{offset} {text}")];
    }

    /// <summary>Waits for the account of a break: nothing lost, nothing repeated.</summary>
    public async Task RecoveredAsync()
    {
        await Expect(this["outcome"]).ToHaveAttributeAsync("data-mood", "good");
        await Expect(this["outcome"]).ToHaveAttributeAsync("data-gaps", "0");
        await Expect(this["outcome"]).ToHaveAttributeAsync("data-repeats", "0");
        await Expect(this["gaps"]).ToHaveTextAsync("0");
        await Expect(this["repeats"]).ToHaveTextAsync("0");
    }

    /// <summary>Saves what the page looks like.</summary>
    public Task PictureAsync(string name, bool whole = true) => page.ScreenshotAsync(new()
    {
        Path = Path.Combine(Repository.Results("playground"), name + ".png"),
        FullPage = whole,
    });

    public async ValueTask DisposeAsync() => await context.CloseAsync();
}

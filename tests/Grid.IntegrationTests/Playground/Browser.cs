using Grid.Testing;
using Grid.Testing.Hosting;
using Microsoft.Playwright;

namespace Grid.IntegrationTests.Playground;

/// <summary>A real host and a real Chromium: the machine's own, driven by Playwright without downloading another.</summary>
public sealed class Browser : IAsyncLifetime
{
    private static readonly string[] Names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
    private static readonly string[] Folders = ["/usr/bin", "/usr/local/bin", "/snap/bin", "/opt/google/chrome"];

    private static readonly string[] Arguments =
    [
        "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--disable-quic",
    ];

    private IPlaywright _playwright = null!;
    private IBrowser _browser = null!;

    public HostProcess Host { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        // Endpoints that were taken for dead are tried again soon: each try that fails doubles the time to the next one, and from the usual
        // half minute on it would soon be longer than waits are.
        var starting = HostProcess.RunAsync([new("Grid__Webhooks__FirstProbe", "00:00:03")]);
        _playwright = await Microsoft.Playwright.Playwright.CreateAsync();
        _browser = await _playwright.Chromium.LaunchAsync(new() { ExecutablePath = FindChromium(), Args = Arguments, Timeout = 120_000 });

        // Waits end when what they wait for comes; this bounds them on a machine that has much else to do.
        Assertions.SetDefaultExpectTimeout(60_000);
        Host = await starting;
    }

    public async Task DisposeAsync()
    {
        await _browser.CloseAsync();
        _playwright.Dispose();
        await Host.DisposeAsync();
    }

    /// <summary>Opens the playground in a browser profile of its own.</summary>
    internal async Task<PlaygroundPage> OpenAsync(string room, BrowserNewContextOptions? options = null)
    {
        var context = await _browser.NewContextAsync(options ?? new() { ViewportSize = new() { Width = 1280, Height = 900 } });
        context.SetDefaultTimeout(60_000);

        // What the policy forbids is told to the page, too; so nothing depends on how the browser words it.
        await context.AddInitScriptAsync(
            "addEventListener('securitypolicyviolation', (e) => console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI))");
        var page = new PlaygroundPage(context, await context.NewPageAsync());
        await page.OpenAsync(new Uri(Host.Address, $"/#{room}"));
        return page;
    }

    private static string FindChromium()
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries).Concat(Folders);
        return folders.SelectMany(folder => Names.Select(name => Path.Combine(folder, name))).FirstOrDefault(File.Exists)
            ?? throw new TestFailedException("No Chromium was found on PATH: install the package 'chromium' (tests/run.sh does).");
    }
}

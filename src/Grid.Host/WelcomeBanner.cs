using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;

namespace Grid.Host;

/// <summary>Says in plain words, when everything is up, where Grid listens, where its data is, its key, and what to try next.</summary>
internal sealed class WelcomeBanner(
    IServer server, IServiceProvider services, GridStartup startup) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            Print(await startup.Completed.WaitAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
        }
    }

    private void Print(BootstrapResult made)
    {
        var addresses = server.Features.Get<IServerAddressesFeature>()?.Addresses ?? [];
        var url = addresses.FirstOrDefault() ?? "(no address)";
        Console.WriteLine($"""

            Grid is up.
              Listening on   {string.Join(", ", addresses)}
              Data           {services.DescribeGridStore()}
            """);
        if (made.GeneratedApiKey is not null)
        {
            Console.WriteLine();
            made.Tell(Console.Out);
        }

        Console.WriteLine($"""

              Try next:
                {url}/          the playground: open it in two tabs
                {url}/docs      the HTTP API, described
                curl -H "Authorization: Bearer $KEY" -d '{"{"}"data":"hello"{"}"}' {url}/v1/channels/room:1/messages

            """);
    }
}

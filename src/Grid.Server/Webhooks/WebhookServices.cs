using Grid.Server.Telemetry;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Sending;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Grid.Server.Webhooks;

/// <summary>Registers webhooks.</summary>
internal static class WebhookServices
{
    /// <summary>
    /// Adds everything of webhooks but <see cref="Store.IWebhookStore"/> and <see cref="Signing.SecretVault"/>, which come with the log: it keeps
    /// the rows, and the keys that encrypt secrets.
    /// </summary>
    public static IServiceCollection AddGridWebhooks(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddWebhookNetwork(configuration);
        services.AddOptions<WebhookOptions>().Bind(configuration.GetSection(WebhookOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<WebhookOptions>, WebhookOptionsValidator>();
        services.AddSingleton(static s => new WebhookFormats(s.GetRequiredService<IOptions<WebhookOptions>>().Value.PublicUrl));
        services.AddSingleton<WebhookMetrics>();
        services.AddSingleton<ReadAheadBudget>();
        services.AddSingleton<WebhookSender>();
        services.AddHostedService(static s => s.GetRequiredService<WebhookSender>());
        services.AddHostedService<WebhookSweep>();
        return services;
    }
}

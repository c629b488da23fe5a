using Grid.Server.Telemetry;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Sending;
using Grid.Server.Webhooks.Signing;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Grid.Server.Webhooks;

/// <summary>Registers webhooks.</summary>
internal static class WebhookServices
{
    /// <summary>
    /// Adds everything of webhooks but <see cref="Store.IWebhookStore"/>, which comes with the log, and where Data Protection keeps its keys,
    /// which comes with the store too.
    /// </summary>
    public static IServiceCollection AddGridWebhooks(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddWebhookNetwork(configuration);
        services.AddOptions<WebhookOptions>().Bind(configuration.GetSection(WebhookOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<WebhookOptions>, WebhookOptionsValidator>();

        // All silos must open what one of them encrypted, wherever each of them lies. An application that set a name of its own keeps it.
        if (!services.Any(static s => s.ServiceType == typeof(IDataProtectionProvider))) services.AddDataProtection().SetApplicationName("Grid");
        services.AddSingleton<SecretVault>();
        services.AddSingleton(static s => new WebhookFormats(s.GetRequiredService<IOptions<WebhookOptions>>().Value.PublicUrl));
        services.AddSingleton<WebhookMetrics>();
        services.AddSingleton<WebhookSender>();
        services.AddHostedService(static s => s.GetRequiredService<WebhookSender>());
        services.AddHostedService<WebhookSweep>();
        return services;
    }
}

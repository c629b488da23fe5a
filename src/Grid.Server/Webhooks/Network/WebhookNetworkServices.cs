using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Grid.Server.Webhooks.Network;

/// <summary>Registers what webhooks need of the network.</summary>
internal static class WebhookNetworkServices
{
    /// <summary>
    /// Adds <see cref="WebhookHttp"/>, <see cref="NetworkRules"/> and the settings, from their section of
    /// <paramref name="configuration"/>; a wrong setting stops the start.
    /// </summary>
    public static IServiceCollection AddWebhookNetwork(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<WebhookNetworkOptions>().Bind(configuration.GetSection(WebhookNetworkOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<WebhookNetworkOptions>, WebhookNetworkOptionsValidator>();
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton<IHostResolver>(static s =>
        {
            var options = s.GetRequiredService<IOptions<WebhookNetworkOptions>>().Value;
            return new SystemHostResolver(options.MaxLookups, options.ResolveTimeout);
        });
        services.AddSingleton(static s => new NetworkRules(s.GetRequiredService<IOptions<WebhookNetworkOptions>>().Value));
        services.AddSingleton(static s => new WebhookHttp(
            s.GetRequiredService<IOptions<WebhookNetworkOptions>>().Value, s.GetRequiredService<IHostResolver>(), s.GetRequiredService<TimeProvider>()));
        return services;
    }
}

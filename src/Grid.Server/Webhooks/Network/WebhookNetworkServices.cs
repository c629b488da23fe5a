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

            // At most half of the time is for its turns, so that what nobody looked up is not taken for a name that does not answer.
            var limit = options.ResolveTimeout < options.ConnectTimeout ? options.ResolveTimeout : options.ConnectTimeout;
            return new SystemHostResolver(options.MaxLookups, options.MaxLookupsPerTenant, limit / 4);
        });
        services.AddSingleton(static s => new NetworkRules(s.GetRequiredService<IOptions<WebhookNetworkOptions>>().Value));
        services.AddSingleton(static s => new WebhookHttp(
            s.GetRequiredService<IOptions<WebhookNetworkOptions>>().Value, s.GetRequiredService<IHostResolver>(), s.GetRequiredService<TimeProvider>()));
        return services;
    }
}

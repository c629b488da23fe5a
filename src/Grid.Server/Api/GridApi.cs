using Grid.Server.Channels;
using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Store;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Scalar.AspNetCore;

namespace Grid.Server.Api;

/// <summary>Puts identity and the HTTP API into a host.</summary>
internal static class GridApi
{
    /// <summary>
    /// Registers identity, the API, health and the document. The host registers besides: <see cref="ISecretStore"/>,
    /// <see cref="Channels.IChannelPublisher"/>, <see cref="Channels.IChannelReader"/>, <see cref="Relay.IGridDirectory"/>, the grain storage <c>config</c>,
    /// and for webhooks <see cref="IWebhookStore"/> and <see cref="NetworkRules"/>.
    /// </summary>
    /// <remarks>
    /// Adds the authentication schemes <c>Grid</c> and <c>GridBasic</c>, which only Grid's own endpoints name. ASP.NET takes a single
    /// scheme for the default by itself, but not one of several: a host with a scheme of its own names it in
    /// <c>AddAuthentication("…")</c>. Likewise the OpenAPI document <c>v1</c> is Grid's.
    /// </remarks>
    public static IServiceCollection AddGridApi(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<GridOptions>, GridOptionsValidator>());

        services.TryAddSingleton<ApiKeys>();
        services.TryAddSingleton<ClientTokens>();
        services.TryAddSingleton<Authenticator>();
        services.TryAddSingleton<IAuthenticator>(s => s.GetRequiredService<Authenticator>());
        services.TryAddSingleton<IResumeTokens, ResumeTokens>();
        services.TryAddSingleton(s => new TenancyBootstrap(
            s.GetRequiredService<IGrainFactory>(),
            s.GetRequiredService<ApiKeys>(),
            s.GetRequiredService<IOptions<GridOptions>>(),
            s.GetRequiredService<TimeProvider>(),
            s.GetRequiredService<ILogger<TenancyBootstrap>>()));

        services.TryAddSingleton<AuthFailures>();
        services.TryAddSingleton<CredentialCheck>();
        services.TryAddSingleton<PlaygroundLimiter>();
        services.TryAddSingleton<NamespacePolicies>();
        services.TryAddSingleton<PublishesUnderWay>();
        services.TryAddSingleton<IReadiness, Readiness>();
        services.TryAddSingleton(s => new WebhookRules(s.GetRequiredService<NetworkRules>(), s.GetRequiredService<NamespacePolicies>()));
        services.TryAddSingleton(s => new OwnReceiver(s.GetRequiredService<IOptions<GridOptions>>(), s.GetService<IServer>()));
        services.TryAddSingleton(s => new PlaygroundWebhookRules(
            s.GetRequiredService<NetworkRules>(), s.GetRequiredService<NamespacePolicies>(), s.GetRequiredService<OwnReceiver>()));
        services.TryAddSingleton(s => new WebhookAccess(
            s.GetRequiredService<IGrainFactory>(), s.GetRequiredService<IWebhookStore>(), s.GetRequiredService<IChannelReader>(),
            s.GetRequiredService<WebhookRules>(), s.GetRequiredService<PlaygroundWebhookRules>()));
        services.TryAddEnumerable(ServiceDescriptor.Transient<IStartupFilter, StatusProblems>());

        services.AddAuthentication()
            .AddScheme<AuthenticationSchemeOptions, GridBearerHandler>(GridBearerHandler.SchemeName, null)
            .AddScheme<AuthenticationSchemeOptions, GridBasicHandler>(GridBasicHandler.SchemeName, null);
        services.AddAuthorization(options =>
        {
            GridPolicies.Add(options);
            GridDashboard.Add(options);
        });
        services.AddOpenApi(ApiDocument.Name, ApiDocument.Configure);

        // Its line for each request holds the query string, and that may hold a token.
        // And whoever sends bad credentials must not fill the log with two lines for each.
        services.AddLogging(logging => logging
            .AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.Warning)
            .AddFilter(typeof(GridBearerHandler).FullName, LogLevel.Warning)
            .AddFilter(typeof(GridBasicHandler).FullName, LogLevel.Warning));
        return services;
    }

    /// <summary>Maps the API, its document and page, health and the playground's tokens; the dashboard is apart.</summary>
    public static IEndpointRouteBuilder MapGridApi(this IEndpointRouteBuilder endpoints)
    {
        var v1 = endpoints.MapGroup("/v1").AsGrid();
        v1.MapTokens();
        v1.MapPublish();
        v1.MapChannels();
        v1.MapSessions();
        v1.MapWebhooks();

        endpoints.MapPlayground();
        endpoints.MapPlaygroundWebhooks();
        endpoints.MapGridHealth();
        endpoints.MapOpenApi().AllowAnonymous();
        endpoints.MapScalarApiReference("/docs", ConfigurePage).AllowAnonymous();
        return endpoints;
    }

    /// <summary>Makes endpoints Grid's own: described in the document, with every error a problem.</summary>
    public static RouteGroupBuilder AsGrid(this RouteGroupBuilder group) =>
        group.WithMetadata(new GridEndpoint()).AddEndpointFilter<RouteGroupBuilder, ApiExceptionFilter>();

    /// <summary>The page is served from the package alone: nothing is fetched from, or told to, anybody else.</summary>
    private static void ConfigurePage(ScalarOptions options)
    {
        options.Title = "Grid";
        options.DefaultFonts = false;
        options.Telemetry = false;
        options.ProxyUrl = null;
        options.HideClientButton = true;
        options.DisableAgent();
        options.DisableMcp();
        options.ShowDeveloperTools = DeveloperToolsVisibility.Never;
        options.AddDocument(ApiDocument.Name, "Grid", "/openapi/v1.json");
    }
}

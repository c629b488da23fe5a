using Grid.Server.Hosting;
using Microsoft.Extensions.Options;

namespace Grid.Host;

/// <summary>The page at <c>/</c>.</summary>
internal static class Playground
{
    /// <summary>Only what this host serves may run on the page, and no other page may frame it.</summary>
    private const string ContentSecurityPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    /// <summary>Serves the page, or sends visitors to the API's description when it is turned off.</summary>
    public static void UsePlayground(this WebApplication app)
    {
        if (app.Services.GetRequiredService<IOptions<GridOptions>>().Value.Playground.Enabled == false)
        {
            app.MapGet("/", () => Results.Redirect("/docs")).ExcludeFromDescription();
            return;
        }

        app.UseDefaultFiles();
        app.UseStaticFiles(new StaticFileOptions
        {
            OnPrepareResponse = static file =>
            {
                var headers = file.Context.Response.Headers;
                headers.ContentSecurityPolicy = ContentSecurityPolicy;
                headers.XContentTypeOptions = "nosniff";
                headers["Referrer-Policy"] = "no-referrer";

                // Asked for again each time, answered by 304: a new version is seen at once.
                headers.CacheControl = "no-cache";
            },
        });
    }
}

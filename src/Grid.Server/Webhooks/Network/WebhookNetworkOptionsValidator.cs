using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using Microsoft.Extensions.Options;

namespace Grid.Server.Webhooks.Network;

/// <summary>Checks the settings at start and reports everything that is wrong at once, each with its name and what it may be.</summary>
internal sealed class WebhookNetworkOptionsValidator : IValidateOptions<WebhookNetworkOptions>
{
    private const string At = WebhookNetworkOptions.Section;

    /// <inheritdoc/>
    public ValidateOptionsResult Validate(string? name, WebhookNetworkOptions options)
    {
        var errors = new List<string>();
        Range(errors, "RequestTimeout", options.RequestTimeout, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(5));
        Range(errors, "ConnectTimeout", options.ConnectTimeout, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(5));
        Range(errors, "ResolveTimeout", options.ResolveTimeout, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(5));
        Range(errors, "MaxLookups", options.MaxLookups, 1, 10_000);
        Range(errors, "MaxLookupsPerTenant", options.MaxLookupsPerTenant, 1, 10_000);
        Range(errors, "MaxAnswerBytes", options.MaxAnswerBytes, 0, 16 * 1024 * 1024);
        Range(errors, "KeptAnswerBytes", options.KeptAnswerBytes, 0, 1024 * 1024);
        Range(errors, "MaxConnectionsPerHost", options.MaxConnectionsPerHost, 1, 100_000);
        Range(errors, "IdleConnectionTimeout", options.IdleConnectionTimeout, TimeSpan.Zero, TimeSpan.FromHours(1));
        Range(errors, "ConnectionLifetime", options.ConnectionLifetime, TimeSpan.FromSeconds(1), TimeSpan.FromHours(24));
        foreach (var range in options.AllowedNetworks)
        {
            if (!IPNetwork.TryParse(range, out _))
                errors.Add($"{At}:AllowedNetworks has '{range}'; it must be a range like 10.20.0.0/16.");
        }

        foreach (var port in options.AllowedPorts) Range(errors, "AllowedPorts", port, 1, IPEndPoint.MaxPort);
        if (options.TrustedCertificates is { Length: > 0 } file) CheckCertificates(errors, file);
        CheckProxy(errors, options);
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }

    private static void CheckCertificates(List<string> errors, string file)
    {
        try
        {
            if (TlsTrust.ReadRoots(file).Count == 0) errors.Add($"{At}:TrustedCertificates names '{file}', which holds no certificate.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException or ArgumentException)
        {
            errors.Add($"{At}:TrustedCertificates names '{file}', which cannot be read: {e.Message}");
        }
    }

    private static void CheckProxy(List<string> errors, WebhookNetworkOptions options)
    {
        var proxy = options.EgressProxy;
        if (proxy.Url is not { } url)
        {
            if (proxy.UserName is not null || proxy.Password is not null) errors.Add($"{At}:EgressProxy has credentials but no Url.");
            return;
        }

        // The URL is not repeated: it may have been written with a password.
        if (!url.IsAbsoluteUri || url.Scheme != Uri.UriSchemeHttp || url.UserInfo.Length > 0 || url.PathAndQuery != "/" || url.Fragment.Length > 0)
            errors.Add($"{At}:EgressProxy:Url must be http://host:port; credentials go to UserName and Password.");
        if (proxy.UserName is null != proxy.Password is null) errors.Add($"{At}:EgressProxy needs both UserName and Password, or neither.");
        if (proxy.UserName?.Contains(':', StringComparison.Ordinal) == true) errors.Add($"{At}:EgressProxy:UserName must not contain a colon.");
        if (proxy.ConnectTimeout <= TimeSpan.Zero || proxy.ConnectTimeout >= options.ConnectTimeout)
            errors.Add($"{At}:EgressProxy:ConnectTimeout is {proxy.ConnectTimeout}; it must be above 0 and below {At}:ConnectTimeout.");
    }

    private static void Range<T>(List<string> errors, string setting, T value, T least, T most)
        where T : IComparable<T>
    {
        if (value.CompareTo(least) < 0 || value.CompareTo(most) > 0)
            errors.Add(string.Create(CultureInfo.InvariantCulture, $"{At}:{setting} is {value}; it must be from {least} to {most}."));
    }
}

using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// How endpoints' certificates are judged. Nothing is fetched for it: a certificate may name an address from which to fetch its issuer
/// or a revocation list, and the system would connect to it past <see cref="GuardedConnector"/>.
/// </summary>
internal static class TlsTrust
{
    private const string ServerAuthentication = "1.3.6.1.5.5.7.3.1";

    /// <summary>The options of the handler; the name to check is the one that the handler sets, the URL's host.</summary>
    public static SslClientAuthenticationOptions Options(string? trustedCertificates)
    {
        var options = new SslClientAuthenticationOptions { CertificateChainPolicy = Policy() };
        if (string.IsNullOrEmpty(trustedCertificates)) return options;
        var roots = ReadRoots(trustedCertificates);
        options.RemoteCertificateValidationCallback = (_, certificate, chain, errors) =>
            errors == SslPolicyErrors.None
            || (errors == SslPolicyErrors.RemoteCertificateChainErrors && certificate is X509Certificate2 given && LeadsTo(roots, given, chain));
        return options;
    }

    /// <summary>Reads a file of certificates.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="CryptographicException">It is not PEM.</exception>
    public static X509Certificate2Collection ReadRoots(string file)
    {
        var roots = new X509Certificate2Collection();
        roots.ImportFromPemFile(file);
        return roots;
    }

    private static X509ChainPolicy Policy() => new() { DisableCertificateDownloads = true, RevocationMode = X509RevocationMode.NoCheck };

    /// <summary>Builds the chain anew with the operator's roots alone, so that the system's stay what they are.</summary>
    private static bool LeadsTo(X509Certificate2Collection roots, X509Certificate2 certificate, X509Chain? sent)
    {
        using var chain = new X509Chain { ChainPolicy = Policy() };
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(roots);
        chain.ChainPolicy.ApplicationPolicy.Add(new Oid(ServerAuthentication));
        if (sent is not null) chain.ChainPolicy.ExtraStore.AddRange(sent.ChainPolicy.ExtraStore);
        return chain.Build(certificate);
    }
}

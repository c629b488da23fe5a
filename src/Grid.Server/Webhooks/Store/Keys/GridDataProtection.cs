using System.Runtime.ExceptionServices;
using System.Security.Cryptography;
using Grid.Server.Hosting;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.DataProtection.KeyManagement;
using Microsoft.AspNetCore.DataProtection.Repositories;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Webhooks.Store.Keys;

/// <summary>
/// ASP.NET's Data Protection for what Grid itself encrypts, with the keys in Grid's store, so that every silo has the same. Apart from
/// that of the application that hosts Grid, whose cookies and keys are its own business.
/// </summary>
/// <remarks>
/// <para>The keys lie in the store as they are. So the encryption keeps secrets out of what is read from the webhooks' rows alone (a query, a
/// partial dump), not from who has all of the store.</para>
/// <para>Data Protection reads the keys once a day. Two silos of a new cluster that make the first key at the same moment would not know each
/// other's until then; so keys are read anew when something does not open, at most every <see cref="RenewalPause"/>.</para>
/// </remarks>
internal sealed class GridDataProtection(IXmlRepository keys, ILoggerFactory loggers, TimeProvider time) : IDataProtectionProvider, IDisposable
{
    private static readonly TimeSpan RenewalPause = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private Ring? _ring;

    /// <inheritdoc/>
    public IDataProtector CreateProtector(string purpose) => new Protector(this, [purpose]);

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _ring?.Services.Dispose();
            _ring = null;
        }
    }

    /// <summary>The keys as they were last read.</summary>
    private Ring Current()
    {
        lock (_gate) return _ring ??= Read();
    }

    /// <summary>The keys read anew, if <paramref name="last"/> are not of just now; null: they are.</summary>
    private Ring? Renew(Ring last)
    {
        lock (_gate)
        {
            if (_ring != last) return _ring;
            if (time.GetElapsedTime(last.ReadAt) < RenewalPause) return null;

            // The former is left to whoever is using it; it holds memory alone.
            return _ring = Read();
        }
    }

    private Ring Read()
    {
        var services = new ServiceCollection().AddSingleton(loggers);
        services.AddDataProtection().SetApplicationName("Grid");
        services.Configure<KeyManagementOptions>(options => options.XmlRepository = keys);
        var built = services.BuildServiceProvider();
        return new Ring(built, built.GetRequiredService<IDataProtectionProvider>(), time.GetTimestamp());
    }

    private sealed record Ring(ServiceProvider Services, IDataProtectionProvider Provider, long ReadAt);

    private sealed class Protector(GridDataProtection owner, string[] purposes) : IDataProtector
    {
        public IDataProtector CreateProtector(string purpose) => new Protector(owner, [.. purposes, purpose]);

        public byte[] Protect(byte[] plaintext)
        {
            try
            {
                return Of(owner.Current()).Protect(plaintext);
            }
            catch (CryptographicException e)
            {
                ThrowIfAway(e);
                throw;
            }
        }

        public byte[] Unprotect(byte[] protectedData)
        {
            var ring = owner.Current();
            while (true)
            {
                try
                {
                    return Of(ring).Unprotect(protectedData);
                }
                catch (CryptographicException e)
                {
                    ThrowIfAway(e);
                    if (owner.Renew(ring) is not { } renewed) throw;
                    ring = renewed;
                }
            }
        }

        /// <summary>Data Protection makes one kind of error of everything; that the store is away does not mean that a secret is lost.</summary>
        private static void ThrowIfAway(Exception error)
        {
            for (var cause = error.InnerException; cause is not null; cause = cause.InnerException)
            {
                if (Outage.IsOfStore(cause)) ExceptionDispatchInfo.Throw(cause);
            }
        }

        private IDataProtector Of(Ring ring) => ring.Provider.CreateProtector(purposes);
    }
}

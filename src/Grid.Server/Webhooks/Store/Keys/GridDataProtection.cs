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
/// The keys lie in the store as they are. So the encryption keeps secrets out of what is read from the webhooks' rows alone (a query, a
/// partial dump), not from who has all of the store.
/// </remarks>
internal sealed class GridDataProtection : IDataProtectionProvider, IDisposable
{
    private readonly ServiceProvider _services;
    private readonly IDataProtectionProvider _provider;

    public GridDataProtection(IXmlRepository keys, ILoggerFactory loggers)
    {
        var services = new ServiceCollection().AddSingleton(loggers);
        services.AddDataProtection().SetApplicationName("Grid");
        services.Configure<KeyManagementOptions>(options => options.XmlRepository = keys);
        _services = services.BuildServiceProvider();
        _provider = _services.GetRequiredService<IDataProtectionProvider>();
    }

    /// <inheritdoc/>
    public IDataProtector CreateProtector(string purpose) => _provider.CreateProtector(purpose);

    /// <inheritdoc/>
    public void Dispose() => _services.Dispose();
}

using Grid.Abstractions;
using Grid.Server.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Grid.Server.Log;

/// <summary>The one store of an embedded Grid: the database in <see cref="GridOptions.DataDirectory"/>.</summary>
internal sealed class EmbeddedStore(IServiceProvider services, IOptions<GridOptions> options) : IGridStore
{
    private static readonly ChannelId Probe = new("grid", "readiness");

    /// <inheritdoc/>
    public string Description => Path.GetFullPath(options.Value.DataDirectory);

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, Func<CancellationToken, ValueTask<bool>>> Checks =>
        new Dictionary<string, Func<CancellationToken, ValueTask<bool>>>(StringComparer.Ordinal) { ["store"] = IsUsableAsync };

    /// <inheritdoc/>
    public Task OpenAsync(CancellationToken cancellationToken)
    {
        // Opened when it is first asked for.
        services.GetRequiredService<RocksDbStore>();
        return Task.CompletedTask;
    }

    private async ValueTask<bool> IsUsableAsync(CancellationToken cancellation)
    {
        await services.GetRequiredService<RocksDbMessageLog>().GetHeadAsync(Probe, cancellation);

        // Reads go on while a full disk refuses writes; publishes do not.
        return services.GetRequiredService<RocksDbStore>().Writer.IsAvailable;
    }
}

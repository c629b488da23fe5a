namespace Grid.Server.Hosting;

/// <summary>The stores of a silo in a cluster, as its start and its readiness see them.</summary>
internal sealed class ClusterStore(IEnumerable<IGridStorePart> parts) : IGridStore
{
    private readonly IGridStorePart[] _parts = [.. parts];

    /// <inheritdoc/>
    public string Description => string.Join("; ", _parts.Select(p => p.Description));

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, Func<CancellationToken, ValueTask<bool>>> Checks =>
        _parts.ToDictionary(p => p.Name, p => (Func<CancellationToken, ValueTask<bool>>)p.IsUsableAsync, StringComparer.Ordinal);

    /// <inheritdoc/>
    public async Task OpenAsync(CancellationToken cancellationToken)
    {
        foreach (var part in _parts) await part.OpenAsync(cancellationToken);
    }
}

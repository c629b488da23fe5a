namespace Grid.Server.Hosting;

/// <summary>One of the servers that keep a cluster's data.</summary>
internal interface IGridStorePart
{
    /// <summary>The name of its readiness check, shown to anybody.</summary>
    string Name { get; }

    /// <summary>Where it is, for the person who starts the process; without secrets.</summary>
    string Description { get; }

    /// <summary>Waits for it, within bounds, and makes or migrates what is needed in it. May be called again.</summary>
    /// <exception cref="GridStartupException">It cannot be used; the message says why in plain words.</exception>
    Task OpenAsync(CancellationToken cancellationToken);

    /// <summary>Whether it takes reads and writes right now; cheap, and may throw for no.</summary>
    ValueTask<bool> IsUsableAsync(CancellationToken cancellationToken);
}

/// <summary>The stores of a cluster: every <see cref="IGridStorePart"/> that is registered.</summary>
internal sealed class ClusterStore(IEnumerable<IGridStorePart> parts) : IGridStore
{
    private readonly IGridStorePart[] _parts = [.. parts];

    /// <inheritdoc/>
    public string Description => string.Join(", ", _parts.Select(p => p.Description));

    /// <inheritdoc/>
    public IReadOnlyDictionary<string, Func<CancellationToken, ValueTask<bool>>> Checks =>
        _parts.ToDictionary(
            p => p.Name, p => (Func<CancellationToken, ValueTask<bool>>)p.IsUsableAsync, StringComparer.Ordinal);

    /// <inheritdoc/>
    public async Task OpenAsync(CancellationToken cancellationToken)
    {
        foreach (var part in _parts) await part.OpenAsync(cancellationToken);
    }
}

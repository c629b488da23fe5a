namespace Grid.Server.Hosting;

/// <summary>The stores of this process, as its start and its readiness see them: the embedded one, or those of a cluster.</summary>
internal interface IGridStore
{
    /// <summary>Where the data is, for the person who starts the process; without secrets.</summary>
    string Description { get; }

    /// <summary>Opens, makes or migrates what is needed. Called before the silo starts; may be called again.</summary>
    /// <exception cref="GridStartupException">It cannot be used; the message says why in plain words.</exception>
    Task OpenAsync(CancellationToken cancellationToken);

    /// <summary>Readiness checks by name, each telling whether that store takes reads and writes right now.</summary>
    IReadOnlyDictionary<string, Func<CancellationToken, ValueTask<bool>>> Checks { get; }
}

namespace Grid.Server.Hosting;

/// <summary>One of the stores of a cluster. Register as many as there are; <see cref="ClusterStore"/> makes one of them.</summary>
internal interface IGridStorePart
{
    /// <summary>Its name among the readiness checks; shown to anybody.</summary>
    string Name { get; }

    /// <summary>Where it is, for the person who starts the process; without secrets.</summary>
    string Description { get; }

    /// <summary>Connects, makes or migrates what is needed. Called before the silo starts; may be called again.</summary>
    /// <exception cref="GridStartupException">It cannot be used; the message says why in plain words.</exception>
    Task OpenAsync(CancellationToken cancellationToken);

    /// <summary>Whether it takes reads and writes right now. May throw instead of answering no.</summary>
    ValueTask<bool> IsUsableAsync(CancellationToken cancellationToken);
}

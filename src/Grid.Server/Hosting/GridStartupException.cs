namespace Grid.Server.Hosting;

/// <summary>
/// Grid cannot start, for a reason that its operator can do something about. The message is written for that person: what is
/// wrong, with what, and what to try. A host prints it without a stack trace and ends.
/// </summary>
public sealed class GridStartupException : Exception
{
    /// <summary>Says what is wrong and what to try.</summary>
    public GridStartupException(string message, Exception? inner)
        : base(message, inner)
    {
    }

    /// <summary>Says what is wrong and what to try.</summary>
    public GridStartupException(string message)
        : this(message, null)
    {
    }

    /// <summary>Without a reason.</summary>
    public GridStartupException()
        : this("Grid cannot start.")
    {
    }

    /// <summary>
    /// Whether the same start may succeed another time, without anybody changing anything: a store was away for longer than a start
    /// waits. Otherwise it is refused for as long as things are as they are.
    /// </summary>
    public bool MayPass { get; init; }
}

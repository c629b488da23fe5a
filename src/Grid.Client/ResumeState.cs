using Grid.Protocol;

namespace Grid.Client;

/// <summary>
/// All that another process needs to take a session up where this one left it. As secret as the client token. It is plain data and
/// survives <c>System.Text.Json</c>.
/// </summary>
public sealed record ResumeState
{
    /// <summary>The session's id.</summary>
    public required string Session { get; init; }

    /// <summary>Proves the right to resume it.</summary>
    public required string ResumeToken { get; init; }

    /// <summary>For each channel, the position of the last message whose handler finished.</summary>
    public IReadOnlyDictionary<string, Position> Cursors { get; init; } = new Dictionary<string, Position>();
}

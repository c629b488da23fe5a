namespace Grid.Testing.Wire;

/// <summary>The names of the forms that frames can have.</summary>
public static class Subprotocols
{
    /// <summary>JSON in text messages.</summary>
    public const string Json = "grid.v1.json";

    /// <summary>Protocol Buffers in binary messages.</summary>
    public const string Proto = "grid.v1.proto";

    /// <summary>
    /// What clients of tests speak that are about something else: JSON, or with <c>GRID_WIRE=proto</c> in the environment the other.
    /// </summary>
    public static string Default { get; } = Environment.GetEnvironmentVariable("GRID_WIRE") switch
    {
        null or "" or "json" => Json,
        "proto" => Proto,
        var other => throw new InvalidOperationException($"GRID_WIRE is json or proto, not {other}."),
    };
}

namespace Grid.Server.Hosting;

/// <summary>The names of Grid's grain storage providers.</summary>
public static class StorageNames
{
    /// <summary>Sessions and cursors: losing the last second repeats deliveries, and loses nothing.</summary>
    public const string Sessions = "sessions";

    /// <summary>What a person configured: tenants, keys. Synced at every write.</summary>
    public const string Config = "config";
}

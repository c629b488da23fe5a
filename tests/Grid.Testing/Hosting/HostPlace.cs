using System.Net;

namespace Grid.Testing.Hosting;

/// <summary>Where on the network a host's process is.</summary>
/// <param name="Address">The address it listens on, and at which others reach it.</param>
/// <param name="Namespace">The network namespace that it lives in; null for this machine's own network.</param>
public sealed record HostPlace(IPAddress Address, string? Namespace = null)
{
    /// <summary>This machine, reachable from this machine only.</summary>
    public static HostPlace Loopback { get; } = new(IPAddress.Loopback);
}

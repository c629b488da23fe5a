using System.Net;
using Grid.Benchmarks.Net;

namespace Grid.Benchmarks.Servers;

/// <summary>A server under test, Grid or a peer: makes the connections that speak to it.</summary>
internal interface IServer : IDisposable
{
    /// <summary>The side's name in figures.</summary>
    string Name { get; }

    /// <summary>Where sockets connect.</summary>
    IPEndPoint Address { get; }

    /// <summary>Its process; null when it was not started here.</summary>
    int? ProcessId { get; }

    /// <summary>What the server printed and how it ended, if it has; null while it runs.</summary>
    string? Ending { get; }

    /// <summary>A connection to a channel.</summary>
    /// <param name="load">Who is told what arrives.</param>
    /// <param name="index">Its number.</param>
    /// <param name="channel">Its channel.</param>
    /// <param name="subscribes">Whether it subscribes.</param>
    /// <param name="size">Bytes of what it publishes.</param>
    /// <param name="acknowledged">Whether its publishes are acknowledged, when stored.</param>
    LoadConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged);
}

using System.Net;
using Grid.Benchmarks.Net;

namespace Grid.Benchmarks.Servers;

/// <summary>A server under test, Grid or a peer: makes the connections that speak to it.</summary>
internal interface IServer : IDisposable
{
    /// <summary>The side's name in figures.</summary>
    string Name { get; }

    /// <summary>What it printed and how it ended, if it or a part of it has; null while it runs.</summary>
    string? Ending { get; }

    /// <summary>Where a connection's socket goes: the silos of a cluster take turns.</summary>
    IPEndPoint AddressOf(int index);

    /// <summary>What its processes used until now, by kind; zeros for a server that was not started here.</summary>
    ServerUsage Usage();

    /// <summary>A connection to a channel.</summary>
    /// <param name="load">Who is told what arrives.</param>
    /// <param name="index">Its number.</param>
    /// <param name="channel">Its channel.</param>
    /// <param name="subscribes">Whether it subscribes.</param>
    /// <param name="size">Bytes of what it publishes.</param>
    /// <param name="acknowledged">Whether its publishes are acknowledged, when stored.</param>
    LoadConnection Connection(Load load, int index, string channel, bool subscribes, int size, bool acknowledged);
}

/// <summary>A server of .NET: its first seconds are spent compiling, and its garbage is collected when asked.</summary>
internal interface IDotNetServer : IServer
{
    /// <summary>Its .NET processes.</summary>
    IReadOnlyList<int> DotNetProcesses { get; }
}

/// <summary>Grid, as one process or as a cluster.</summary>
internal interface IGridServer : IDotNetServer
{
    IReadOnlyList<int> IDotNetServer.DotNetProcesses => Silos;

    /// <summary>A token that may do everything on every channel.</summary>
    string Token { get; }

    /// <summary>A connection whose subscription starts in the past of a channel.</summary>
    /// <param name="load">Who is told what arrives.</param>
    /// <param name="index">Its number.</param>
    /// <param name="channel">Its channel.</param>
    /// <param name="from">Where its subscription starts, in the protocol's words.</param>
    /// <param name="subscribes">Whether it subscribes when it is open, or when it is told to.</param>
    GridConnection Reader(Load load, int index, string channel, string from, bool subscribes) =>
        new(load, index, Token) { Channel = channel, Subscribes = subscribes, From = from };

    /// <summary>The API key of the tenant used.</summary>
    string ApiKey { get; }

    /// <summary>The processes of the silos that run.</summary>
    IReadOnlyList<int> Silos { get; }

    /// <summary>Where a profile of each measurement goes; null for none.</summary>
    string? Profile { get; }
}

using Grid.Benchmarks.Report;

namespace Grid.Benchmarks.Net;

/// <summary>What a load does with what its connections receive. All calls come on the thread of the event loop.</summary>
internal abstract class Load
{
    /// <summary>Connections that were accepted and greeted.</summary>
    public int Opened { get; private set; }

    /// <summary>Subscriptions that were confirmed.</summary>
    public int Subscribed { get; private set; }

    /// <summary>Faults: lost connections, errors, holes.</summary>
    public int Faults { get; private set; }

    /// <summary>What the first fault was.</summary>
    public string? FirstFault { get; private set; }

    /// <summary>Reads of sockets that gave something: messages per read tell how well the server gathers them.</summary>
    public long Reads { get; private set; }

    /// <summary>Latencies since the last <see cref="ResetLatency"/>.</summary>
    public Latencies Latency { get; private set; } = new();

    /// <summary>A socket was read.</summary>
    public void OnRead() => Reads++;

    /// <summary>The connection is open.</summary>
    public virtual void OnOpen(LoadConnection connection) => Opened++;

    /// <summary>The connection's channel is subscribed.</summary>
    public virtual void OnSubscribed(LoadConnection connection) => Subscribed++;

    /// <summary>The connection's subscription ended, as it asked for.</summary>
    public virtual void OnUnsubscribed(LoadConnection connection)
    {
    }

    /// <summary>A message came; <see cref="Stamp"/> reads what its publisher wrote into it.</summary>
    public virtual void OnMessage(LoadConnection connection, ReadOnlySpan<byte> message) => connection.Received++;

    /// <summary>Publishes were acknowledged, or a page was read.</summary>
    /// <param name="connection">Who asked.</param>
    /// <param name="count">How many.</param>
    /// <param name="id">The number of the last of them.</param>
    public virtual void OnPublished(LoadConnection connection, int count, long id)
    {
    }

    /// <summary>The server refused something; unless a load expects it, that is a fault.</summary>
    /// <param name="connection">Who asked.</param>
    /// <param name="id">The number of the request; -1 when it had none.</param>
    /// <param name="error">The answer.</param>
    public virtual void OnRefused(LoadConnection connection, long id, string error) => OnFault(connection, error);

    /// <summary>Something went wrong; the connection may be closed.</summary>
    public virtual void OnFault(LoadConnection connection, string reason)
    {
        Faults++;
        FirstFault ??= $"connection {connection.Index} ({connection.Channel}): {reason}";
    }

    /// <summary>Starts a new measurement of latencies.</summary>
    public void ResetLatency() => Latency = new Latencies();

    /// <summary>Ends the run when something went wrong: figures of a broken run mean nothing.</summary>
    /// <exception cref="BenchmarkException">There were faults.</exception>
    public void ThrowOnFault()
    {
        if (Faults > 0) throw new BenchmarkException($"{Faults} faults; the first: {FirstFault}");
    }
}

/// <summary>A run that could not be measured; the message says why.</summary>
internal sealed class BenchmarkException(string message) : Exception(message);

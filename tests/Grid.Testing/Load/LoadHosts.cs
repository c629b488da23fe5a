using System.Collections.Concurrent;
using System.Net.WebSockets;
using Grid.Testing.Wire;

namespace Grid.Testing.Load;

/// <summary>How load clients find a host, how patient they are with it, and what they take for normal.</summary>
/// <param name="pick">The host for the next attempt to connect.</param>
public sealed class LoadHosts(Func<Uri> pick)
{
    /// <summary>A host's address, through all its restarts.</summary>
    public static LoadHosts One(Uri host) => new(() => host);

    /// <summary>Whether <c>unavailable</c> is a legitimate answer: something behind the host may be away. Default: false.</summary>
    public bool MayBeUnavailable { get; init; }

    /// <summary>
    /// Close codes after which a client connects again and nobody wonders. Default: a socket that ended without a close frame, and a
    /// drain.
    /// </summary>
    public IReadOnlySet<int> Reconnects { get; init; } = new HashSet<int> { 1006, 4000 };

    /// <summary>After how long without a frame a client gives its socket up; null, the default: never.</summary>
    public TimeSpan? Silence { get; init; }

    /// <summary>How long the upgrade and the welcome may each take before a client tries elsewhere. Default: 30 s.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The host for the next attempt.</summary>
    public Uri Pick() => pick();

    /// <summary>What is noted of a close; null when nobody wonders.</summary>
    internal string? OddClose(string name, RawClose close) =>
        Reconnects.Contains(close.Code) ? null : $"{name}: closed with {close.Code} '{close.Reason}'";

    /// <summary>Connects a client and says hello, trying until a host takes it.</summary>
    internal async Task<RawClient> ConnectAsync(
        RawClientOptions options, Func<RawResume?> resume, ConcurrentQueue<string> oddities, CancellationToken cancellationToken)
    {
        options = options with { Silence = Silence, Timeout = Patience };
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            RawClient? client = null;
            try
            {
                client = await RawClient.ConnectAsync(Pick(), options).ConfigureAwait(false);
                await client.HelloAsync(resume()).ConfigureAwait(false);
                return client;
            }
            catch (Exception e) when (e is WebSocketException or TestFailedException or IOException or OperationCanceledException)
            {
                // The host is down, or went down in the handshake: try again soon. A refusal for good is worth a note.
                if (client is not null)
                {
                    await client.DisposeAsync().ConfigureAwait(false);
                    var close = await client.Closed.ConfigureAwait(false);
                    if (close.Code >= 4500) oddities.Enqueue($"{options.Name}: hello was answered by {close.Code} '{close.Reason}'");
                }
                else if (e.Message.Contains("'401'", StringComparison.Ordinal) || e.Message.Contains("'403'", StringComparison.Ordinal))
                {
                    oddities.Enqueue($"{options.Name}: {e.Message}");
                }

                await Task.Delay(50, cancellationToken).ConfigureAwait(false);
            }
        }
    }
}

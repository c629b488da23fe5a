using System.Net;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// Looks names up by the system's resolver. Its calls block a thread and cannot be cancelled, for as long as a name server lets them
/// wait; so each has a thread of its own instead of one of the pool, their number is limited, and those for one name share one.
/// </summary>
internal sealed class SystemHostResolver : IHostResolver, IDisposable
{
    private readonly Dictionary<string, Task<IPAddress[]>> _underWay = new(StringComparer.OrdinalIgnoreCase);
    private readonly SemaphoreSlim _slots;
    private readonly TimeSpan _patience;
    private readonly Func<string, IPAddress[]> _lookUp;

    /// <summary>Makes a resolver.</summary>
    /// <param name="slots">The most look-ups at the same time.</param>
    /// <param name="patience">How long a look-up waits for its turn.</param>
    /// <param name="lookUp">The blocking look-up; the system's by default.</param>
    public SystemHostResolver(int slots, TimeSpan patience, Func<string, IPAddress[]>? lookUp = null)
    {
        _slots = new SemaphoreSlim(slots);
        _patience = patience;
        _lookUp = lookUp ?? Dns.GetHostAddresses;
    }

    /// <inheritdoc/>
    public Task<IPAddress[]> ResolveAsync(string host)
    {
        lock (_underWay)
        {
            if (_underWay.TryGetValue(host, out var lookup)) return lookup;
            _underWay[host] = lookup = LookUpAsync(host);

            // All who asked may have left before it fails.
            lookup.ContinueWith(static t => _ = t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
            return lookup;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _slots.Dispose();

    private async Task<IPAddress[]> LookUpAsync(string host)
    {
        // Not before the caller has entered it, or it would be entered after its end.
        await Task.Yield();
        try
        {
            if (!await _slots.WaitAsync(_patience)) throw new TimeoutException("Too many names are being looked up.");
            try
            {
                return await Task.Factory.StartNew(
                    () => _lookUp(host), CancellationToken.None, TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach, TaskScheduler.Default);
            }
            finally
            {
                _slots.Release();
            }
        }
        finally
        {
            lock (_underWay) _underWay.Remove(host);
        }
    }
}

using System.Net;

namespace Grid.Server.Webhooks.Network;

/// <summary>
/// Looks names up by the system's resolver. Its calls block a thread and cannot be cancelled, for as long as a name server lets them
/// wait; so each has a thread of its own instead of one of the pool, their number is limited, and those of a tenant for one name share
/// one. A tenant has a few of them only: names in a zone that never answers hold up their owner's other look-ups, and nobody else's.
/// </summary>
internal sealed class SystemHostResolver : IHostResolver, IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(string Tenant, string Host), LookUp> _underWay = [];
    private readonly Dictionary<string, TenantSlots> _tenants = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _slots;
    private readonly int _perTenant;
    private readonly TimeSpan _patience;
    private readonly Func<string, IPAddress[]> _lookUp;

    /// <summary>Makes a resolver.</summary>
    /// <param name="slots">The most look-ups at the same time.</param>
    /// <param name="perTenant">The most of one tenant among them.</param>
    /// <param name="patience">How long a look-up waits for its turn.</param>
    /// <param name="lookUp">The blocking look-up; the system's by default.</param>
    public SystemHostResolver(int slots, int perTenant, TimeSpan patience, Func<string, IPAddress[]>? lookUp = null)
    {
        _slots = new SemaphoreSlim(slots);
        (_perTenant, _patience) = (perTenant, patience);
        _lookUp = lookUp ?? Dns.GetHostAddresses;
    }

    /// <inheritdoc/>
    public Task<IPAddress[]> ResolveAsync(string host, string tenant) => ResolveAsync((tenant, host.ToLowerInvariant()), mayWait: true);

    /// <inheritdoc/>
    public Task<IPAddress[]> ResolveAtOnceAsync(string host, string tenant) => ResolveAsync((tenant, host.ToLowerInvariant()), mayWait: false);

    /// <inheritdoc/>
    public void Dispose() => _slots.Dispose();

    private static WebhookConnectException Busy(string whose) =>
        new(WebhookErrorClass.Busy, $"Too many names {whose} are being looked up; the attempt is made again.");

    private static WebhookConnectException TenantIsBusy() => Busy("of the tenant's webhooks");

    private Task<IPAddress[]> ResolveAsync((string Tenant, string Host) key, bool mayWait)
    {
        lock (_gate)
        {
            if (_underWay.TryGetValue(key, out var lookup))
                return mayWait || lookup.HasTurn ? lookup.Addresses : Task.FromException<IPAddress[]>(TenantIsBusy());
            if (!_tenants.TryGetValue(key.Tenant, out var own)) own = new TenantSlots(_perTenant);
            var hasTurn = own.Slots.Wait(0);
            if (!hasTurn && !mayWait) return Task.FromException<IPAddress[]>(TenantIsBusy());
            _tenants[key.Tenant] = own;
            own.Users++;
            _underWay[key] = lookup = new LookUp { HasTurn = hasTurn };
            lookup.Addresses = LookUpAsync(key, own, lookup);

            // All who asked may have left before it fails.
            lookup.Addresses.ContinueWith(
                static t => _ = t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
            return lookup.Addresses;
        }
    }

    private async Task<IPAddress[]> LookUpAsync((string Tenant, string Host) key, TenantSlots own, LookUp lookup)
    {
        // Not before the caller has entered it, or it would be entered after its end.
        await Task.Yield();
        try
        {
            // The tenant's own first: who waits for one of these must not hold one of everybody's.
            if (!lookup.HasTurn && !await own.Slots.WaitAsync(_patience)) throw TenantIsBusy();
            lookup.HasTurn = true;
            try
            {
                return await LookUpInTurnAsync(key.Host);
            }
            finally
            {
                own.Slots.Release();
            }
        }
        finally
        {
            lock (_gate)
            {
                _underWay.Remove(key);
                if (--own.Users == 0) _tenants.Remove(key.Tenant);
            }
        }
    }

    private async Task<IPAddress[]> LookUpInTurnAsync(string host)
    {
        if (!await _slots.WaitAsync(_patience)) throw Busy("of all webhooks");
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

    /// <summary>A look-up that is under way.</summary>
    private sealed class LookUp
    {
        private volatile bool _hasTurn;

        public Task<IPAddress[]> Addresses { get; set; } = null!;

        /// <summary>Whether it is made, rather than waiting for the tenant's others.</summary>
        public bool HasTurn
        {
            get => _hasTurn;
            set => _hasTurn = value;
        }
    }

    /// <summary>A tenant's share, kept while it has look-ups. Nothing of a semaphore must be disposed but a handle that nobody asks for.</summary>
    private sealed class TenantSlots(int count)
    {
        public SemaphoreSlim Slots { get; } = new(count);

        public int Users { get; set; }
    }
}

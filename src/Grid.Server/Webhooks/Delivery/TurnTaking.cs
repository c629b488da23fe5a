namespace Grid.Server.Webhooks.Delivery;

/// <summary>How a silo shares its requests.</summary>
internal sealed record TurnSettings
{
    /// <summary>Requests to ordinary endpoints on their way at once. Default: 512.</summary>
    public int FastSlots { get; init; } = 512;

    /// <summary>Requests to slow endpoints on their way at once. Default: 512: they cost a socket each, and hardly anything else.</summary>
    public int SlowSlots { get; init; } = 512;

    /// <summary>The most requests of one tenant, in each of the two pools. Default: 128.</summary>
    public int PerTenant { get; init; } = 128;

    /// <summary>The most requests to one endpoint. Default: 64.</summary>
    public int PerEndpoint { get; init; } = 64;

    /// <summary>The usual time of an answer, in milliseconds, above which an endpoint is slow. Default: 2,000.</summary>
    public int SlowMs { get; init; } = 2_000;

    /// <summary>The most requests that wait; a tenant's are never more than what is left for the others. Default: 65,536.</summary>
    public int MaxWaiting { get; init; } = 65_536;

    /// <summary>After how many new messages of an endpoint one that is not new gets a turn. Default: 4.</summary>
    public int FreshPerOther { get; init; } = 4;
}

/// <summary>
/// Decides whose request is next on a silo: in turn by tenant, within a tenant in turn by endpoint, within an endpoint new messages
/// before retries and replays, but these in every fifth turn. No tenant and no endpoint has more than its slots; slow endpoints have
/// slots of their own, so that those that hang leave the others theirs, and no tenant takes all the room to wait. No I/O, no clock, not
/// thread-safe; every decision takes the same time, however many wait.
/// </summary>
/// <typeparam name="T">What waits for its turn.</typeparam>
internal sealed class TurnTaking<T>(TurnSettings settings)
{
    private readonly Dictionary<(string Tenant, string Endpoint), Endpoint> _endpoints = [];
    private readonly Dictionary<string, int> _waitingOf = new(StringComparer.Ordinal);
    private readonly Pool _fast = new(settings.FastSlots, isSlow: false);
    private readonly Pool _slow = new(settings.SlowSlots, isSlow: true);
    private bool _slowFirst;

    /// <summary>How many wait.</summary>
    public int Waiting { get; private set; }

    /// <summary>How many requests are on their way, in either pool.</summary>
    public int InFlight => _fast.InFlight + _slow.InFlight;

    /// <summary>How many requests to slow endpoints are on their way.</summary>
    public int SlowInFlight => _slow.InFlight;

    /// <summary>Endpoints that are remembered: those with something waiting or on its way.</summary>
    public int Endpoints => _endpoints.Count;

    /// <summary>
    /// Adds a request. False: too many wait, or too many of the tenant: it may have as many as there is room left for. So whoever takes all
    /// that they can get leaves half of the room to the others, and the next one half of that. A request that was refused is to be offered
    /// again.
    /// </summary>
    /// <param name="tenant">Whose it is.</param>
    /// <param name="endpoint">Names the endpoint within the tenant.</param>
    /// <param name="kind">Why it is made.</param>
    /// <param name="usualMs">How long the endpoint usually takes; counts while nothing newer is known here.</param>
    /// <param name="item">What waits.</param>
    public bool TryAdd(string tenant, string endpoint, DeliveryKind kind, int usualMs, T item)
    {
        var own = _waitingOf.GetValueOrDefault(tenant);
        if (own >= settings.MaxWaiting - Waiting) return false;
        if (!_endpoints.TryGetValue((tenant, endpoint), out var target))
            _endpoints[(tenant, endpoint)] = target = new Endpoint(tenant, endpoint, usualMs);
        target.Add(kind, item);
        Waiting++;
        _waitingOf[tenant] = own + 1;
        Line(target);
        return true;
    }

    /// <summary>The next request to make, if one may be made.</summary>
    public bool TryNext(out Turn turn)
    {
        // The pools take turns too, though only for which is looked at first: neither can use the other's slots.
        _slowFirst = !_slowFirst;
        return TryNext(_slowFirst ? _slow : _fast, out turn) || TryNext(_slowFirst ? _fast : _slow, out turn);
    }

    /// <summary>A request is over.</summary>
    /// <param name="turn">Which.</param>
    /// <param name="tookMs">How long it took, in milliseconds.</param>
    public void Done(Turn turn, long tookMs)
    {
        if (turn.IsDone) return;
        turn.IsDone = true;
        Leave(turn);
        var endpoint = turn.Endpoint;
        endpoint.InFlight--;
        endpoint.UsualMs += (tookMs - endpoint.UsualMs) / 4;
        Line(endpoint);
        Forget(endpoint);
    }

    /// <summary>
    /// Whether a request has one of the fast slots of which its tenant, or all together, have taken more than half: then it should not
    /// keep it for long.
    /// </summary>
    public bool IsCrowding(Turn turn) => !turn.IsDone && turn.Pool == _fast
        && (2 * _fast.InFlight > _fast.Slots || 2 * _fast.TenantOf(turn.Endpoint.Tenant).InFlight > settings.PerTenant);

    /// <summary>
    /// A request has been on its way for longer than <see cref="TurnSettings.SlowMs"/>, or for long while it was crowding: it gives its slot among the fast ones back, if
    /// the slow ones have room, and its endpoint counts as slow from now on. A tenant may so have more than its slots among the slow ones,
    /// but not of the second half, which is for the others.
    /// </summary>
    public void Overdue(Turn turn)
    {
        if (turn.IsDone || turn.Pool == _slow) return;
        turn.Endpoint.UsualMs = Math.Max(turn.Endpoint.UsualMs, settings.SlowMs + 1);
        if (_slow.InFlight >= settings.SlowSlots) return;
        if (2 * _slow.InFlight >= settings.SlowSlots && _slow.InFlightOf(turn.Endpoint.Tenant) >= settings.PerTenant) return;
        Leave(turn);
        turn.Pool = _slow;
        Enter(turn);
    }

    private bool TryNext(Pool pool, out Turn turn)
    {
        turn = null!;
        while (pool.InFlight < pool.Slots && pool.Line.TryDequeue(out var tenant))
        {
            tenant.InLine = false;
            if (tenant.InFlight >= settings.PerTenant) continue;
            if (!tenant.Line.TryDequeue(out var endpoint))
            {
                pool.Forget(tenant);
                continue;
            }

            endpoint.InLine = null;
            if (endpoint.Take(settings.FreshPerOther, out var item))
            {
                Waiting--;
                if (--_waitingOf[tenant.Name] == 0) _waitingOf.Remove(tenant.Name);
                endpoint.InFlight++;
                turn = new Turn(item, endpoint, pool);
                Enter(turn);
            }

            // To the end of both lines, if there is more to do.
            Line(endpoint);
            Line(pool, tenant);
            if (turn is not null) return true;
        }

        return false;
    }

    private static void Enter(Turn turn)
    {
        turn.Pool.InFlight++;
        turn.Pool.TenantOf(turn.Endpoint.Tenant).InFlight++;
    }

    private void Leave(Turn turn)
    {
        turn.Pool.InFlight--;
        var tenant = turn.Pool.TenantOf(turn.Endpoint.Tenant);
        tenant.InFlight--;
        Line(turn.Pool, tenant);
        turn.Pool.Forget(tenant);
    }

    /// <summary>Puts an endpoint into its tenant's line, if it has something to send and a slot.</summary>
    private void Line(Endpoint endpoint)
    {
        if (endpoint.InLine is not null || endpoint.Waiting == 0 || endpoint.InFlight >= settings.PerEndpoint) return;
        var pool = endpoint.UsualMs > settings.SlowMs ? _slow : _fast;
        var tenant = pool.TenantOf(endpoint.Tenant);
        endpoint.InLine = tenant;
        tenant.Line.Enqueue(endpoint);
        Line(pool, tenant);
    }

    private void Line(Pool pool, Tenant tenant)
    {
        if (tenant.InLine || tenant.Line.Count == 0 || tenant.InFlight >= settings.PerTenant) return;
        tenant.InLine = true;
        pool.Line.Enqueue(tenant);
    }

    private void Forget(Endpoint endpoint)
    {
        if (endpoint is { Waiting: 0, InFlight: 0, InLine: null }) _endpoints.Remove((endpoint.Tenant, endpoint.Name));
    }

    /// <summary>A request that may be made.</summary>
    /// <param name="item">What waited.</param>
    /// <param name="endpoint">Its endpoint.</param>
    /// <param name="pool">The pool whose slot it has.</param>
    internal sealed class Turn(T item, Endpoint endpoint, Pool pool)
    {
        /// <summary>What waited.</summary>
        public T Item => item;

        /// <summary>Whether it has a slot of the slow ones.</summary>
        public bool IsSlow => Pool.IsSlow;

        internal Endpoint Endpoint => endpoint;

        internal Pool Pool { get; set; } = pool;

        internal bool IsDone { get; set; }
    }

    /// <summary>The slots of one kind, and the tenants that wait for one.</summary>
    internal sealed class Pool(int slots, bool isSlow)
    {
        private readonly Dictionary<string, Tenant> _tenants = new(StringComparer.Ordinal);

        public int Slots => slots;

        public bool IsSlow => isSlow;

        public int InFlight { get; set; }

        public Queue<Tenant> Line { get; } = new();

        public Tenant TenantOf(string name)
        {
            if (!_tenants.TryGetValue(name, out var tenant)) _tenants[name] = tenant = new Tenant(name);
            return tenant;
        }

        public int InFlightOf(string name) => _tenants.TryGetValue(name, out var tenant) ? tenant.InFlight : 0;

        public void Forget(Tenant tenant)
        {
            if (tenant is { InFlight: 0, InLine: false, Line.Count: 0 }) _tenants.Remove(tenant.Name);
        }
    }

    /// <summary>A tenant within a pool.</summary>
    internal sealed class Tenant(string name)
    {
        public string Name => name;

        public int InFlight { get; set; }

        public bool InLine { get; set; }

        public Queue<Endpoint> Line { get; } = new();
    }

    /// <summary>An endpoint, and what waits for it.</summary>
    internal sealed class Endpoint(string tenant, string name, int usualMs)
    {
        private readonly Queue<T> _fresh = new();
        private readonly Queue<T> _retries = new();
        private readonly Queue<T> _replays = new();
        private int _sinceOther;
        private bool _replayNext;

        public string Tenant => tenant;

        public string Name => name;

        public long UsualMs { get; set; } = usualMs;

        public int InFlight { get; set; }

        /// <summary>The tenant in whose line it stands: it stays there even if it is found to be slow meanwhile.</summary>
        public Tenant? InLine { get; set; }

        public int Waiting => _fresh.Count + _retries.Count + _replays.Count;

        public void Add(DeliveryKind kind, T item) =>
            (kind switch { DeliveryKind.Fresh => _fresh, DeliveryKind.Retry => _retries, _ => _replays }).Enqueue(item);

        public bool Take(int freshPerOther, out T item)
        {
            if (_sinceOther >= freshPerOther || _fresh.Count == 0)
            {
                // Retries and replays share these turns.
                _sinceOther = 0;
                _replayNext = !_replayNext;
                if ((_replayNext ? _retries : _replays).TryDequeue(out item!) || (_replayNext ? _replays : _retries).TryDequeue(out item!))
                    return true;
            }

            _sinceOther++;
            return _fresh.TryDequeue(out item!);
        }
    }
}

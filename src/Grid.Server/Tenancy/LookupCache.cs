namespace Grid.Server.Tenancy;

/// <summary>
/// Remembers, for a short time, what a lookup by name found, and for a shorter one that it found nothing. Both are bounded, and
/// apart, so that rubbish does not push out what is in use. Callers that ask for one name at once share one lookup, and few lookups
/// run at a time: a storm of connections costs the store one call per name, and a flood of guesses cannot crowd it.
/// </summary>
/// <typeparam name="T">What is looked up.</typeparam>
[System.Diagnostics.CodeAnalysis.SuppressMessage(
    "Design", "CA1001", Justification = "Nobody takes the semaphore's wait handle, which is all it would have to dispose of.")]
internal sealed class LookupCache<T>(Func<string, Task<T?>> load, LookupCacheLimits limits, TimeProvider time)
    where T : class
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Entry> _known = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Entry> _unknown = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Task<T?>> _loading = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _gate = new(limits.ConcurrentLoads);

    /// <summary>What is remembered. False when a lookup would be needed to know.</summary>
    public bool TryGet(string name, out T? value)
    {
        var now = time.GetTimestamp();
        lock (_lock) return TryGetLocked(name, now, limits.KnownFor, out value);
    }

    /// <summary>What is remembered, not longer ago than <paramref name="maxAge"/>, or else looked up.</summary>
    /// <exception cref="TenancyUnavailableException">The lookup failed, or too many wait.</exception>
    public ValueTask<T?> GetAsync(string name, TimeSpan? maxAge = null, CancellationToken cancellationToken = default)
    {
        var now = time.GetTimestamp();
        Task<T?>? loading;
        lock (_lock)
        {
            if (TryGetLocked(name, now, maxAge ?? limits.KnownFor, out var value)) return new(value);
            if (!_loading.TryGetValue(name, out loading))
            {
                if (_loading.Count >= limits.WaitingLoads) throw new TenancyUnavailableException("Too many credentials are being looked up.");

                // On the pool: a lookup is shared, and must not belong to the context of whoever asked first.
                loading = Task.Run(() => LoadAsync(name), CancellationToken.None);
                _loading.Add(name, loading);
            }
        }

        return new(loading.WaitAsync(cancellationToken));
    }

    private bool TryGetLocked(string name, long now, TimeSpan knownFor, out T? value)
    {
        if (_known.TryGetValue(name, out var known) && time.GetElapsedTime(known.At, now) < knownFor)
        {
            value = known.Value;
            return true;
        }

        value = null;
        return _unknown.TryGetValue(name, out var unknown) && time.GetElapsedTime(unknown.At, now) < limits.UnknownFor;
    }

    private async Task<T?> LoadAsync(string name)
    {
        try
        {
            await _gate.WaitAsync();
            try
            {
                var value = await load(name).WaitAsync(limits.LoadTimeout, time);
                lock (_lock)
                {
                    (value is null ? _known : _unknown).Remove(name);
                    var (entries, span) = value is null ? (_unknown, limits.UnknownFor) : (_known, limits.KnownFor);
                    if (entries.Count >= limits.Capacity && !entries.ContainsKey(name)) MakeRoom(entries, span);
                    entries[name] = new Entry(value, time.GetTimestamp());
                }

                return value;
            }
            catch (Exception e) when (e is not TenancyUnavailableException)
            {
                throw new TenancyUnavailableException("A credential could not be looked up.", e);
            }
            finally
            {
                _gate.Release();
            }
        }
        finally
        {
            lock (_lock) _loading.Remove(name);
        }
    }

    /// <summary>Drops what is out of date, and if nothing is, an eighth of what there is.</summary>
    private void MakeRoom(Dictionary<string, Entry> entries, TimeSpan span)
    {
        var now = time.GetTimestamp();
        var removed = 0;
        foreach (var (name, entry) in entries)
        {
            if (time.GetElapsedTime(entry.At, now) >= span && entries.Remove(name)) removed++;
        }

        if (removed > 0) return;
        foreach (var name in entries.Keys.Take(Math.Max(1, limits.Capacity / 8))) entries.Remove(name);
    }

    private readonly record struct Entry(T? Value, long At);
}

/// <summary>The bounds of a <see cref="LookupCache{T}"/>.</summary>
internal sealed record LookupCacheLimits
{
    /// <summary>The most names remembered, of those found and of those not found each.</summary>
    public int Capacity { get; init; } = 10_000;

    /// <summary>How long something found is remembered.</summary>
    public TimeSpan KnownFor { get; init; } = Authenticator.KnownFor;

    /// <summary>How long it is remembered that nothing was found: short, for a key may be made the next moment.</summary>
    public TimeSpan UnknownFor { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The most lookups that run at once.</summary>
    public int ConcurrentLoads { get; init; } = 64;

    /// <summary>The most lookups that run or wait; further ones are refused.</summary>
    public int WaitingLoads { get; init; } = 4096;

    /// <summary>How long a lookup may take.</summary>
    public TimeSpan LoadTimeout { get; init; } = TimeSpan.FromSeconds(5);
}

/// <summary>Whether a credential is good cannot be told right now: what knows is away or overloaded. Try again.</summary>
public sealed class TenancyUnavailableException : Exception
{
    /// <summary>Says why.</summary>
    public TenancyUnavailableException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Says why.</summary>
    public TenancyUnavailableException(string message)
        : base(message)
    {
    }

    /// <summary>Without a reason.</summary>
    public TenancyUnavailableException()
    {
    }
}

using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Sessions;

namespace Grid.Server.Relay;

/// <inheritdoc/>
internal sealed class GridDirectory(IGrainFactory grains, ISiloRelays relays, ISessionIndex index) : IGridDirectory
{
    public async Task<long> CountSubscribersAsync(ChannelId channel, CancellationToken cancellationToken = default)
    {
        var counts = await Task.WhenAll(relays.LiveSilos().Select(silo => Ask(silo, r => r.CountSubscribersAsync(channel), 0L)));
        return counts.Sum();
    }

    public async Task<IReadOnlyList<SessionInfo>> ListSessionsAsync(
        string tenant, string user, int limit, CancellationToken cancellationToken = default)
    {
        var silos = relays.LiveSilos().ToArray();
        var connected = await Task.WhenAll(silos.Select(silo => Ask(silo, r => r.ListSessionsAsync(tenant, user, limit), [])));
        var found = new Dictionary<string, SessionInfo>(StringComparer.Ordinal);
        for (var i = 0; i < silos.Length; i++)
        {
            foreach (var session in connected[i])
                found.TryAdd(session.Session, new SessionInfo(session.Session, user, true, silos[i].ToString(), session.Channels));
        }

        foreach (var entry in await index.ByUserAsync(tenant, user, limit, cancellationToken))
        {
            if (found.Count >= limit) break;
            if (found.ContainsKey(entry.Session)) continue;
            if (await Grain(tenant, entry.Session).DescribeAsync() is { } session)
                found.Add(entry.Session, new SessionInfo(entry.Session, user, false, null, session.Channels));
        }

        return [.. found.Values.Take(limit)];
    }

    public async Task<bool> CloseSessionAsync(string tenant, string session, CancellationToken cancellationToken = default)
    {
        var known = await Grain(tenant, session).CloseAsync(CloseCode.Revoked);
        if (!known && await AnyAsync(r => r.HoldsAsync(tenant, session, generation: 0)))
        {
            // Before its socket goes: should this fail, whoever asks again finds the session as it was.
            await Grain(tenant, session).CloseUnknownAsync();
            known = true;
        }

        // Whatever the grain knew, or believed about where the socket is: none may stay.
        var closed = await AnyAsync(r => r.FenceAsync(tenant, session, long.MaxValue, CloseCode.Revoked));
        if (known || !closed) return known;
        await Grain(tenant, session).CloseUnknownAsync();
        return true;
    }

    private ISessionGrain Grain(string tenant, string session) => grains.GetGrain<ISessionGrain>($"{tenant}/{session}");

    /// <summary>Asks all live silos, and tells whether one said yes.</summary>
    private async Task<bool> AnyAsync(Func<ISiloRelay, Task<bool>> question) =>
        Array.Exists(await Task.WhenAll(relays.LiveSilos().Select(silo => Ask(silo, question, false))), yes => yes);

    /// <summary>Asks a silo; one that is away holds nothing up and contributes nothing.</summary>
    private async Task<T> Ask<T>(SiloAddress silo, Func<ISiloRelay, Task<T>> question, T otherwise)
    {
        try
        {
            return await question(relays.On(silo));
        }
        catch (Exception e) when (Outage.Is(e))
        {
            return otherwise;
        }
    }
}

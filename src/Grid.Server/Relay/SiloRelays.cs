using Grid.Abstractions;
using Grid.Server.Log;
using Orleans.Runtime.Services;

namespace Grid.Server.Relay;

/// <summary>Finds the relays of silos.</summary>
internal interface ISiloRelays
{
    /// <summary>The relay of a silo.</summary>
    ISiloRelay On(SiloAddress silo);

    /// <summary>The silos that may hold sockets.</summary>
    IReadOnlyCollection<SiloAddress> LiveSilos();

    /// <summary>
    /// Every silo that may have publishes to answer, those that stop among them, as the membership says at this moment. One that is joining
    /// has none: it listens to nobody yet.
    /// </summary>
    ValueTask<IReadOnlyCollection<SiloAddress>> GetMembersAsync();

    /// <summary>Whether a silo is not known to have gone.</summary>
    bool IsLive(SiloAddress silo);
}

/// <summary>By the cluster's membership: the own relay as a plain object, others by a call to their grain service.</summary>
internal sealed class SiloRelays(
    RelayHub local, SiloRelayClient remote, ILocalSiloDetails self, ISiloStatusOracle silos, IClusterMembershipService membership) : ISiloRelays
{
    /// <inheritdoc/>
    public ISiloRelay On(SiloAddress silo) => silo.Equals(self.SiloAddress) ? local : remote.On(silo);

    /// <inheritdoc/>
    public IReadOnlyCollection<SiloAddress> LiveSilos()
    {
        var live = silos.GetApproximateSiloStatuses(onlyActive: true).Keys.ToHashSet();

        // A silo that is still joining is not active yet, but its own sockets are served from the first moment on.
        live.Add(self.SiloAddress);
        return live;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyCollection<SiloAddress>> GetMembersAsync()
    {
        // Reads the table: what is known without that may lack a silo that has just joined.
        try
        {
            await membership.Refresh();
        }
        catch (Exception e)
        {
            throw new LogUnavailableException("The membership cannot be read.", e);
        }

        return membership.CurrentSnapshot.Members.Values
            .Where(static m => m.Status is SiloStatus.Active or SiloStatus.ShuttingDown or SiloStatus.Stopping)
            .Select(static m => m.SiloAddress).Append(self.SiloAddress).ToHashSet();
    }

    /// <inheritdoc/>
    public bool IsLive(SiloAddress silo) => silo.Equals(self.SiloAddress) || !silos.IsDeadSilo(silo);
}

/// <summary>
/// Where one process has the store to itself: there is no other silo. One that a session names was the process before this one, of
/// which the membership never heard; to call it would cost each session that resumes a connection that fails.
/// </summary>
internal sealed class LoneSiloRelays(RelayHub local, ILocalSiloDetails self) : ISiloRelays
{
    /// <inheritdoc/>
    public ISiloRelay On(SiloAddress silo) =>
        IsLive(silo) ? local : throw new SiloUnavailableException($"{silo} is not the silo that has the store.");

    /// <inheritdoc/>
    public IReadOnlyCollection<SiloAddress> LiveSilos() => [self.SiloAddress];

    /// <inheritdoc/>
    public ValueTask<IReadOnlyCollection<SiloAddress>> GetMembersAsync() => new([self.SiloAddress]);

    /// <inheritdoc/>
    public bool IsLive(SiloAddress silo) => silo.Equals(self.SiloAddress);
}

/// <summary>Calls the relays of other silos.</summary>
internal sealed class SiloRelayClient(IServiceProvider services) : GrainServiceClient<ISiloRelay>(services)
{
    /// <summary>The relay of a silo.</summary>
    public ISiloRelay On(SiloAddress silo) => GetGrainService(silo);
}

/// <summary>The relay as other silos reach it; all it does is in <see cref="RelayHub"/>.</summary>
internal sealed class SiloRelayService(
    GrainId id, Silo silo, Microsoft.Extensions.Logging.ILoggerFactory loggers, RelayHub hub) : GrainService(id, silo, loggers), ISiloRelay
{
    public Task<DeliverAck> DeliverAsync(DeliverBatch batch) => hub.DeliverAsync(batch);

    public Task<DeliverAck> GetInterestAsync(ChannelId channel) => hub.GetInterestAsync(channel);

    public Task<long> CountSubscribersAsync(ChannelId channel) => hub.CountSubscribersAsync(channel);

    public Task<bool> FenceAsync(string tenant, string session, long generation, Protocol.CloseCode code) =>
        hub.FenceAsync(tenant, session, generation, code);

    public Task<bool> HoldsAsync(string tenant, string session, long generation) => hub.HoldsAsync(tenant, session, generation);

    public Task<ConnectedSession[]> ListSessionsAsync(string tenant, string user, int limit) =>
        hub.ListSessionsAsync(tenant, user, limit);

    public Task WaitForPublishesAsync() => hub.WaitForPublishesAsync();
}

using System.Diagnostics.Metrics;
using Grid.Server.Hosting;
using Grid.Server.Relay;
using Microsoft.Extensions.Hosting;

namespace Grid.Server.Telemetry;

/// <summary>
/// What is asked for when somebody looks: how this silo stands, what it sees of the others, and what its relay holds. Nothing here
/// waits for a lock that is held while messages are delivered.
/// </summary>
/// <remarks>A hosted service only so that the instruments, and those of the other parts, exist from the start on.</remarks>
internal sealed class SiloMetrics : IHostedService
{
    private static readonly SiloStatus[] Statuses = Enum.GetValues<SiloStatus>();

    private readonly ISiloStatusOracle _silos;
    private readonly Action _announce;

    public SiloMetrics(
        IMeterFactory meters,
        ISiloStatusOracle silos,
        IReadiness readiness,
        RelayHub hub,
        GatewayMetrics gateway,
        PublishMetrics publish,
        ChannelMetrics channels)
    {
        _silos = silos;
        _announce = hub.Metrics.Announce;
        _announce += gateway.Announce;
        _announce += publish.Announce;
        _announce += channels.Announce;
        var meter = GridMeter.Of(meters);
        meter.CreateObservableGauge(
            "grid.silo.status", OwnStatus, "{silo}", "1 for the status that this silo has by its own word, 0 for every other.");
        meter.CreateObservableGauge(
            "grid.silos", Others, "{silo}", "Silos of the cluster's membership as this silo sees it, by status.");
        meter.CreateObservableGauge(
            "grid.silo.draining", () => readiness.Draining ? 1 : 0, unit: null, "1 while this silo lets its clients go before it stops.");
        meter.CreateObservableGauge(
            "grid.sessions", () => hub.SocketCount, "{session}", "Sessions whose socket this silo holds.");
        meter.CreateObservableGauge(
            "grid.relay.channels", () => hub.ChannelCount, "{channel}", "Channels that this silo listens to.");
        meter.CreateObservableGauge(
            "grid.relay.behind", hub.CountBehind, "{message}", "Messages that the relay knows of and has not yet handed to its subscribers.");
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        _announce();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private IEnumerable<Measurement<int>> OwnStatus()
    {
        var own = _silos.CurrentStatus;
        return Statuses.Select(status => new Measurement<int>(status == own ? 1 : 0, Tag.Of("status", status)));
    }

    private IEnumerable<Measurement<int>> Others()
    {
        var known = _silos.GetApproximateSiloStatuses();
        return Statuses.Select(status => new Measurement<int>(known.Values.Count(s => s == status), Tag.Of("status", status)));
    }
}

using System.Runtime.InteropServices;

namespace Grid.Host;

/// <summary>
/// Hears SIGTERM and SIGINT from the very start. The web host does so only once it starts, which is after the stores were opened; until
/// then a signal would end the process at once, or, where it is a container's first one, do nothing at all.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    private readonly CancellationTokenSource _requested = new();
    private readonly PosixSignalRegistration[] _registrations;

    /// <summary>Begins to listen.</summary>
    public StopSignals() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal),
        PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal),
    ];

    /// <summary>Cancelled once the process was asked to stop.</summary>
    public CancellationToken Requested => _requested.Token;

    /// <summary>
    /// Stops to listen. The source stays: a signal that is being handled may still cancel it, and it holds nothing that would have to be
    /// freed.
    /// </summary>
    public void Dispose()
    {
        foreach (var registration in _registrations) registration.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true;
        _requested.Cancel();
    }
}

using System.Diagnostics.Metrics;
using Grid.Abstractions;

namespace Grid.Server.Telemetry;

/// <summary>What publishing counts.</summary>
internal sealed class PublishMetrics(IMeterFactory meters)
{
    private readonly Counter<long> _published = GridMeter.Of(meters).CreateCounter<long>(
        "grid.messages.published", "{message}", "Publishes answered, by outcome: stored, duplicate or refused.");

    /// <summary>Publishes were answered.</summary>
    public void Published(ReadOnlySpan<PublishReceipt> receipts)
    {
        if (!_published.Enabled) return;
        long stored = 0, duplicate = 0, refused = 0;
        foreach (ref readonly var receipt in receipts)
        {
            if (receipt.Error is not null) refused++;
            else if (receipt.Duplicate) duplicate++;
            else stored++;
        }

        if (stored > 0) _published.Add(stored, new KeyValuePair<string, object?>("outcome", "stored"));
        if (duplicate > 0) _published.Add(duplicate, new KeyValuePair<string, object?>("outcome", "duplicate"));
        if (refused > 0) _published.Add(refused, new KeyValuePair<string, object?>("outcome", "refused"));
    }
}

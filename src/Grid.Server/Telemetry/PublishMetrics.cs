using System.Diagnostics.Metrics;
using Grid.Abstractions;

namespace Grid.Server.Telemetry;

/// <summary>What publishing counts.</summary>
internal sealed class PublishMetrics(IMeterFactory meters)
{
    private readonly Counter<long> _published = GridMeter.Of(meters).CreateCounter<long>(
        "grid.messages.published", "{message}", "Publishes answered, by outcome: stored, duplicate or refused.");

    private readonly Histogram<double> _duration = GridMeter.Of(meters).CreateDuration(
        "grid.publish.duration",
        "Time from a call to publish (of one message or many) to its answer, retries included, by outcome: answered or unavailable.");

    private readonly Counter<long> _retries = GridMeter.Of(meters).CreateCounter<long>(
        "grid.publish.retries", "{retry}", "Calls to publish made again, by reason: moved (the channel's grain) or lost (the answer).");

    /// <summary>Makes the counters known before they count.</summary>
    public void Announce()
    {
        foreach (var outcome in (ReadOnlySpan<string>)["stored", "duplicate", "refused"])
            _published.Add(0, new KeyValuePair<string, object?>("outcome", outcome));
        foreach (var reason in (ReadOnlySpan<string>)["moved", "lost"])
            _retries.Add(0, new KeyValuePair<string, object?>("reason", reason));
    }

    /// <summary>Publishes were answered by their channel.</summary>
    public void Answered(ReadOnlySpan<PublishReceipt> receipts, TimeSpan duration) => Record(receipts, duration, "answered");

    /// <summary>Publishes were answered as unavailable, after whatever retries there were.</summary>
    public void Unavailable(ReadOnlySpan<PublishReceipt> receipts, TimeSpan duration) => Record(receipts, duration, "unavailable");

    /// <summary>A call is made again.</summary>
    public void Retried(bool moved) => _retries.Add(1, new KeyValuePair<string, object?>("reason", moved ? "moved" : "lost"));

    private void Record(ReadOnlySpan<PublishReceipt> receipts, TimeSpan duration, string outcome)
    {
        if (_duration.Enabled) _duration.Record(duration.TotalSeconds, new KeyValuePair<string, object?>("outcome", outcome));
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

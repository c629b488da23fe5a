using Grid.Server.Telemetry;
using Microsoft.Extensions.Options;

namespace Grid.Server.Webhooks;

/// <summary>
/// How much of messages all subscriptions of a silo have read ahead. When it is more than it may be, each reads only what it can send: it
/// goes on, with more reads for the same deliveries.
/// </summary>
internal sealed class ReadAheadBudget(IOptions<WebhookOptions> options, WebhookMetrics metrics)
{
    private long _bytes;

    /// <summary>The payload bytes read ahead and not sent.</summary>
    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Whether it is more than it may be.</summary>
    public bool IsSpent => Bytes >= options.Value.ReadAheadBytes;

    /// <summary>A subscription has so much read ahead now.</summary>
    /// <param name="noted">What was noted for it before.</param>
    /// <param name="bytes">The bytes.</param>
    public void Note(ref int noted, int bytes)
    {
        if (noted == bytes) return;
        Interlocked.Add(ref _bytes, bytes - noted);
        metrics.ReadAhead(bytes - noted);
        noted = bytes;
    }

    /// <summary>A subscription is not in memory any more.</summary>
    public void Return(ref int noted) => Note(ref noted, 0);
}

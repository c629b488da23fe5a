namespace Grid.Server.Api;

/// <summary>Limits what strangers get from the playground, by address.</summary>
internal sealed class PlaygroundLimiter : IDisposable
{
    /// <summary>Tokens: 60 at once, then one a second.</summary>
    public AddressLimiter Visits { get; } = new(burst: 60, perPermit: TimeSpan.FromSeconds(1));

    /// <summary>Requests about webhooks and their receivers: 400 at once, then 20 a second. A page that watches asks three times a second.</summary>
    public AddressLimiter Requests { get; } = new(burst: 400, perPermit: TimeSpan.FromMilliseconds(50));

    /// <summary>Webhooks and receivers that are made: 60 at once, then one every 2 seconds.</summary>
    public AddressLimiter Makes { get; } = new(burst: 60, perPermit: TimeSpan.FromSeconds(2));

    /// <inheritdoc/>
    public void Dispose()
    {
        Visits.Dispose();
        Requests.Dispose();
        Makes.Dispose();
    }
}

using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Formats;
using Microsoft.Extensions.Options;

namespace Grid.Server.Webhooks;

/// <summary>
/// How webhooks are sent; bound from the configuration section <c>Grid:Webhooks</c> (environment: <c>Grid__Webhooks__Name</c>), beside
/// <see cref="Network.WebhookNetworkOptions"/>.
/// </summary>
public sealed class WebhookOptions
{
    /// <summary>The configuration section.</summary>
    public const string Section = Network.WebhookNetworkOptions.Section;

    /// <summary>The most subscriptions of a tenant. Default: 10,000. Every publish is compared with the patterns of its tenant's.</summary>
    public int MaxPerTenant { get; set; } = 10_000;

    /// <summary>Requests to ordinary endpoints that a silo has on their way at once. Default: 512.</summary>
    public int FastSlots { get; set; } = 512;

    /// <summary>
    /// Requests to slow endpoints that a silo has on their way at once, beside <see cref="FastSlots"/>. Default: 512. They cost a socket
    /// each, and hardly anything else.
    /// </summary>
    public int SlowSlots { get; set; } = 512;

    /// <summary>The most requests of one tenant among each of <see cref="FastSlots"/> and <see cref="SlowSlots"/>. Default: 128.</summary>
    public int TenantSlots { get; set; } = 128;

    /// <summary>
    /// The most requests of one tenant to one host and port. Default: 64. Should not be more than
    /// <see cref="Network.WebhookNetworkOptions.MaxConnectionsPerHost"/>.
    /// </summary>
    public int EndpointSlots { get; set; } = 64;

    /// <summary>The usual time of an answer above which an endpoint counts as slow. Default: 2 s.</summary>
    public TimeSpan SlowAfter { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// The most requests that wait for their turn on a silo. Default: 65,536. A tenant has at most as many of them as there is room left
    /// for, so alone it has half. Beyond it subscriptions wait a second and more.
    /// </summary>
    public int MaxWaiting { get; set; } = 65_536;

    /// <summary>
    /// The payload bytes that all subscriptions of a silo may have read ahead of what they send. Default: 256 MiB. Beyond it each reads a few
    /// messages at a time, which costs reads and loses nothing. One subscription has at most about 1 MiB of it.
    /// </summary>
    public long ReadAheadBytes { get; set; } = 256 * 1024 * 1024;

    /// <summary>
    /// How long a silo that stops lets requests on their way end. Default: 5 s. What has not ended by then is sent again by another silo,
    /// under the same id.
    /// </summary>
    public TimeSpan DrainTime { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How often subscriptions are looked for that have something to do and were not woken: after a crash, or when a retry is due.
    /// Default: 5 s. Retries that are more than a minute away are late by up to this.
    /// </summary>
    public TimeSpan SweepInterval { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How long attempts, dead letters and records of truncated ranges are kept. Default: 30 days.</summary>
    public TimeSpan AttemptRetention { get; set; } = TimeSpan.FromDays(30);

    /// <summary>How long a subscription without anything to do stays in memory. Default: 15 s.</summary>
    public TimeSpan IdleAfter { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// How long after an endpoint was taken for dead it is tried again; the time doubles with each try that fails, up to 1 h. Default:
    /// 30 s. Shorter finds sooner that it works again, and troubles one that does not more often.
    /// </summary>
    public TimeSpan FirstProbe { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The most messages per second of a replay that names no rate. Default: 100.</summary>
    public double ReplayPerSecond { get; set; } = 100;

    /// <summary>
    /// Where the outside world reaches this Grid, such as <c>https://grid.example.com</c>: it makes the <c>source</c> of CloudEvents
    /// absolute, and its host is who asks in their handshake. Default: none; <c>source</c> is relative, and <c>grid</c> asks.
    /// </summary>
    public Uri? PublicUrl { get; set; }

    /// <summary>Who asks in the handshake of CloudEvents.</summary>
    internal string Origin => PublicUrl is { IsAbsoluteUri: true } url && CloudEventsHandshake.IsOrigin(url.Host) ? url.Host : "grid";

    internal TurnSettings Turns => new()
    {
        FastSlots = FastSlots,
        SlowSlots = SlowSlots,
        PerTenant = TenantSlots,
        PerEndpoint = EndpointSlots,
        SlowMs = (int)SlowAfter.TotalMilliseconds,
        MaxWaiting = MaxWaiting,
    };
}

/// <summary>Checks the settings at start and reports everything that is wrong at once, each with its name and what it may be.</summary>
internal sealed class WebhookOptionsValidator : IValidateOptions<WebhookOptions>
{
    /// <inheritdoc/>
    public ValidateOptionsResult Validate(string? name, WebhookOptions options)
    {
        var errors = new List<string>();
        Range("MaxPerTenant", options.MaxPerTenant, 1, 1_000_000);
        Range("FastSlots", options.FastSlots, 1, 100_000);
        Range("SlowSlots", options.SlowSlots, 1, 100_000);
        Range("TenantSlots", options.TenantSlots, 1, 100_000);
        Range("EndpointSlots", options.EndpointSlots, 1, 100_000);
        Range("SlowAfter", options.SlowAfter, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(5));
        Range("MaxWaiting", options.MaxWaiting, 1, 10_000_000);
        Range("ReadAheadBytes", options.ReadAheadBytes, 1024 * 1024, 1L << 40);
        Range("DrainTime", options.DrainTime, TimeSpan.Zero, TimeSpan.FromMinutes(5));
        Range("SweepInterval", options.SweepInterval, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(10));
        Range("AttemptRetention", options.AttemptRetention, TimeSpan.FromHours(1), TimeSpan.FromDays(3650));
        Range("IdleAfter", options.IdleAfter, TimeSpan.Zero, TimeSpan.FromHours(1));
        Range("FirstProbe", options.FirstProbe, TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1));
        Range("ReplayPerSecond", options.ReplayPerSecond, 0.01, 1_000_000);
        if (options.PublicUrl is { } url)
        {
            try
            {
                _ = new CloudEventAttributes(url);
            }
            catch (ArgumentException e)
            {
                errors.Add($"{WebhookOptions.Section}:PublicUrl: {e.Message}");
            }
        }

        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);

        void Range<T>(string setting, T value, T least, T most)
            where T : IComparable<T>
        {
            if (value.CompareTo(least) < 0 || value.CompareTo(most) > 0)
                errors.Add(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{WebhookOptions.Section}:{setting} is {value}; it must be between {least} and {most}."));
        }
    }
}

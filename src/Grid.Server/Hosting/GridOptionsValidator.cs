using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Tenancy;
using Microsoft.Extensions.Options;

namespace Grid.Server.Hosting;

/// <summary>Checks the settings at start and reports everything that is wrong at once, each with its name and what it may be.</summary>
internal sealed class GridOptionsValidator : IValidateOptions<GridOptions>
{
    /// <summary>A payload of this size fits a body of the HTTP API even in base64.</summary>
    private const int MaxPayload = 4 * 1024 * 1024;

    private const int MaxNamespaces = 1000;

    /// <inheritdoc/>
    public ValidateOptionsResult Validate(string? name, GridOptions options)
    {
        var errors = new List<string>();
        if (string.IsNullOrWhiteSpace(options.DataDirectory)) errors.Add("Grid:DataDirectory must name a folder.");
        Range(errors, "Grid:MaxFrameBytes", options.MaxFrameBytes, 1024, 16 * 1024 * 1024);
        Range(errors, "Grid:Heartbeat", options.Heartbeat, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(10));
        Range(errors, "Grid:HelloTimeout", options.HelloTimeout, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(5));
        Range(errors, "Grid:ResumeWindow", options.ResumeWindow, TimeSpan.Zero, TimeSpan.FromDays(7));
        Range(errors, "Grid:CheckpointInterval", options.CheckpointInterval, TimeSpan.FromMilliseconds(50), TimeSpan.FromMinutes(5));
        Range(errors, "Grid:MaxSubscriptionsPerSession", options.MaxSubscriptionsPerSession, 1, WireLimits.MaxCursors);
        Range(errors, "Grid:MaxOutboundBytes", options.MaxOutboundBytes, 1024, 1 << 30);
        Range(errors, "Grid:MaxInFlightPublishBytes", options.MaxInFlightPublishBytes, 1024, 1 << 30);
        Range(errors, "Grid:MaxPendingHellos", options.MaxPendingHellos, 1, 1_000_000);
        Range(errors, "Grid:DrainNotice", options.DrainNotice, TimeSpan.Zero, TimeSpan.FromMinutes(5));
        Range(errors, "Grid:DrainSpan", options.DrainSpan, TimeSpan.Zero, TimeSpan.FromMinutes(10));

        Known(errors, "Grid:Metrics:Access", options.Metrics.Access);
        foreach (var tenant in options.Compression.Tenants)
        {
            if (tenant != CompressionOptions.Everybody && !TenantName.IsValid(tenant))
                errors.Add($"Grid:Compression:Tenants names '{tenant}', which is neither a tenant's name nor {CompressionOptions.Everybody}.");
        }

        // The key itself is not repeated: what is printed may be logged.
        if (options.Bootstrap.ApiKey is { Length: > 0 } key && !ApiKeys.IsWellFormed(key))
        {
            errors.Add(
                $"Grid:Bootstrap:ApiKey must have {ApiKeys.MinLength} to {ApiKeys.MaxLength} characters, without control characters, "
                + "without spaces at its ends, and not be a client token.");
        }

        if (options.Namespaces.Count > MaxNamespaces) errors.Add($"Grid:Namespaces has more than {MaxNamespaces} entries.");
        foreach (var (space, policy) in options.Namespaces) Check(errors, space, policy);
        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }

    private static void Check(List<string> errors, string space, NamespacePolicy? policy)
    {
        var at = $"Grid:Namespaces:{space}";
        if (!ChannelName.IsValid(space) || space.Contains(':', StringComparison.Ordinal))
            errors.Add($"{at}: the name of a namespace has 1 to {ChannelName.MaxLength} characters of A-Z a-z 0-9 _ . ~ @ -");
        if (policy is null)
        {
            errors.Add($"{at} is empty.");
            return;
        }

        Known(errors, $"{at}:Durability", policy.Durability);
        Known(errors, $"{at}:SlowConsumer", policy.SlowConsumer);
        Range(errors, $"{at}:MaxMessageBytes", policy.MaxMessageBytes, 1, MaxPayload);
        Range(errors, $"{at}:IdempotencyWindow", policy.IdempotencyWindow, TimeSpan.Zero, TimeSpan.FromDays(30));
        if (policy.MaxAge is { } age) Range(errors, $"{at}:MaxAge", age, TimeSpan.FromSeconds(1), TimeSpan.FromDays(36_500));
        if (policy.MaxMessages is { } messages) Range(errors, $"{at}:MaxMessages", messages, 1, long.MaxValue);
        if (policy.MaxBytes is { } bytes) Range(errors, $"{at}:MaxBytes", bytes, 1, long.MaxValue);
    }

    private static void Known<TEnum>(List<string> errors, string setting, TEnum value)
        where TEnum : struct, Enum
    {
        // A number in the configuration binds to an enumeration without complaint.
        if (!Enum.IsDefined(value)) errors.Add($"{setting} is {value}; it must be one of {string.Join(", ", Enum.GetNames<TEnum>())}.");
    }

    private static void Range<T>(List<string> errors, string setting, T value, T least, T most)
        where T : IComparable<T>
    {
        if (value.CompareTo(least) < 0 || value.CompareTo(most) > 0)
            errors.Add(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{setting} is {value}; it must be from {least} to {most}."));
    }
}

using System.Net;
using System.Net.Sockets;
using System.Threading.RateLimiting;

namespace Grid.Server.Api;

/// <summary>
/// Limits what a stranger can do, by the address it comes from. Addresses are thrown into a fixed number of buckets by a hash that
/// differs in every process, so memory is bounded and nobody can choose whose bucket to share; an IPv6 address counts as its /64.
/// </summary>
internal sealed class AddressLimiter(int burst, TimeSpan perPermit) : IDisposable
{
    private const int Buckets = 4096;

    private readonly PartitionedRateLimiter<int> _limiter = PartitionedRateLimiter.Create<int, int>(
        bucket => RateLimitPartition.GetTokenBucketLimiter(bucket, _ => new TokenBucketRateLimiterOptions
        {
            TokenLimit = burst,
            TokensPerPeriod = 1,
            ReplenishmentPeriod = perPermit,
            QueueLimit = 0,
        }));

    /// <summary>How long until an exhausted bucket has a permit again.</summary>
    public TimeSpan RetryAfter => perPermit;

    /// <summary>Whether a permit is left; takes none.</summary>
    public bool HasPermit(IPAddress? address) => Acquire(address, 0);

    /// <summary>Takes a permit, if one is left.</summary>
    public bool TryTake(IPAddress? address) => Acquire(address, 1);

    /// <inheritdoc/>
    public void Dispose() => _limiter.Dispose();

    private static int BucketOf(IPAddress? address)
    {
        if (address is null) return 0;
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out var length);
        var hash = default(HashCode);
        if (address.IsIPv4MappedToIPv6) hash.AddBytes(bytes[12..]);
        else hash.AddBytes(address.AddressFamily == AddressFamily.InterNetworkV6 ? bytes[..8] : bytes[..length]);
        return (int)((uint)hash.ToHashCode() % Buckets);
    }

    private bool Acquire(IPAddress? address, int permits)
    {
        using var lease = _limiter.AttemptAcquire(BucketOf(address), permits);
        return lease.IsAcquired;
    }
}

/// <summary>
/// Counts credentials that were refused, by address. An address that sent too many is served from what is remembered alone: whoever
/// shares it and uses a good key goes on, and guesses no longer reach a grain.
/// </summary>
internal sealed class AuthFailures : IDisposable
{
    private readonly AddressLimiter _limiter = new(burst: 30, perPermit: TimeSpan.FromSeconds(1));

    /// <summary>How long until an address may try unknown credentials again.</summary>
    public TimeSpan RetryAfter => _limiter.RetryAfter;

    /// <summary>Whether the address may try an unknown credential.</summary>
    public bool MayTry(IPAddress? address) => _limiter.HasPermit(address);

    /// <summary>Counts a refused credential.</summary>
    public void Failed(IPAddress? address) => _limiter.TryTake(address);

    /// <inheritdoc/>
    public void Dispose() => _limiter.Dispose();
}

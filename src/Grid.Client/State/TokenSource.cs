namespace Grid.Client;

/// <summary>
/// Holds the token in use and gets the next one. Used by one caller at a time: the loop that connects, or, while connected, the
/// one that refreshes.
/// </summary>
internal sealed class TokenSource(GridClientOptions options)
{
    /// <summary>How long the provider may take.</summary>
    public static readonly TimeSpan ProviderTimeout = TimeSpan.FromSeconds(30);

    /// <summary>The least time between two refreshes: a provider of nearly expired tokens must not be called in a storm.</summary>
    public static readonly TimeSpan MinRefreshInterval = TimeSpan.FromSeconds(5);

    private string? _token = options.Token;
    private DateTimeOffset? _refreshAt;

    /// <summary>Whether a new token can be got.</summary>
    public bool CanRefresh => options.TokenProvider is not null;

    /// <summary>How long until the token should be replaced; null when nothing is known of its expiry.</summary>
    public TimeSpan? RefreshIn => CanRefresh && _refreshAt is { } at ? Max(at - options.TimeProvider.GetUtcNow(), TimeSpan.Zero) : null;

    /// <summary>The token to connect with: the one held, or a new one when that is missing, refused or about to expire.</summary>
    public async ValueTask<string?> GetAsync(CancellationToken cancellationToken)
    {
        if (!CanRefresh || (_token is not null && RefreshIn != TimeSpan.Zero)) return _token;
        return await FetchAsync(cancellationToken);
    }

    /// <summary>A new token. Throws <see cref="GridException"/> when the provider fails.</summary>
    public async ValueTask<string> FetchAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            var asked = options.TokenProvider!(limit.Token).AsTask();
            var token = await asked.WaitAsync(ProviderTimeout, options.TimeProvider, cancellationToken);
            Keep(token, TokenExpiry.Of(token));
            return token;
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // Also reached by a provider that ignores its token past the limit; it is told to stop.
            await limit.CancelAsync();
            throw new GridException(GridErrorCodes.TokenProvider, $"The token provider failed: {e.Message}", e);
        }
    }

    /// <summary>Notes the token in use and when the server says it expires.</summary>
    public void Keep(string token, DateTimeOffset? expiresAt)
    {
        var now = options.TimeProvider.GetUtcNow();
        _token = token;
        _refreshAt = expiresAt is { } at ? now + Max(TokenExpiry.RefreshIn(at, now), MinRefreshInterval) : null;
    }

    /// <summary>The server refused the token: the next <see cref="GetAsync"/> fetches another.</summary>
    public void Refused()
    {
        if (CanRefresh) _token = null;
    }

    private static TimeSpan Max(TimeSpan a, TimeSpan b) => a > b ? a : b;
}

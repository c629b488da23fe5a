using Grid.Abstractions;

namespace Grid.Server.Relay;

/// <summary>A session as operators see it.</summary>
/// <param name="Session">Its id.</param>
/// <param name="User">Its user.</param>
/// <param name="Connected">Whether it has a socket now.</param>
/// <param name="Silo">The silo that holds the socket; null without one.</param>
/// <param name="Subscriptions">Its channels.</param>
public sealed record SessionInfo(string Session, string User, bool Connected, string? Silo, IReadOnlyList<string> Subscriptions);

/// <summary>Answers questions that concern all silos.</summary>
public interface IGridDirectory
{
    /// <summary>How many subscriptions of live sockets a channel has, over all silos.</summary>
    Task<long> CountSubscribersAsync(ChannelId channel, CancellationToken cancellationToken = default);

    /// <summary>The sessions of a user, those with a socket first; at most <paramref name="limit"/>.</summary>
    Task<IReadOnlyList<SessionInfo>> ListSessionsAsync(
        string tenant, string user, int limit, CancellationToken cancellationToken = default);

    /// <summary>Closes a session for good and forgets it. False when there is none.</summary>
    Task<bool> CloseSessionAsync(string tenant, string session, CancellationToken cancellationToken = default);
}

namespace Grid.Server.Sessions;

/// <summary>One session as the index knows it.</summary>
/// <param name="Tenant">Its tenant.</param>
/// <param name="Session">Its id.</param>
/// <param name="User">Its user.</param>
/// <param name="DueAt">When the sweep should ask the session's grain whether it has expired.</param>
public sealed record SessionIndexEntry(string Tenant, string Session, string User, DateTimeOffset DueAt);

/// <summary>
/// Finds stored sessions without waking their grains: by user, for operators; by due time, for the sweep that forgets expired
/// ones. An entry is written with a session's state and removed with it. Losing an entry in a crash is repaired at the session's
/// next checkpoint.
/// </summary>
public interface ISessionIndex
{
    /// <summary>Adds or replaces a session's entry.</summary>
    ValueTask SetAsync(SessionIndexEntry entry, CancellationToken cancellationToken = default);

    /// <summary>Removes a session's entry, if there is one.</summary>
    ValueTask RemoveAsync(string tenant, string session, CancellationToken cancellationToken = default);

    /// <summary>The sessions of a user, at most <paramref name="limit"/>.</summary>
    ValueTask<IReadOnlyList<SessionIndexEntry>> ByUserAsync(
        string tenant, string user, int limit, CancellationToken cancellationToken = default);

    /// <summary>The sessions due at <paramref name="now"/> or earlier, earliest first, at most <paramref name="limit"/>.</summary>
    ValueTask<IReadOnlyList<SessionIndexEntry>> DueAsync(DateTimeOffset now, int limit, CancellationToken cancellationToken = default);
}

using System.Net.Sockets;
using Npgsql;

namespace Grid.Server.Log.Postgres;

/// <summary>What a failure of the database means.</summary>
internal static class PostgresErrors
{
    /// <summary>Whether it is a failure of the database, or of the way to it, and not of this program.</summary>
    public static bool IsOfDatabase(Exception e) =>
        e is NpgsqlException or SocketException or TimeoutException or IOException or ObjectDisposedException;

    /// <summary>Whether the transaction was rolled back for the sake of another one, and is right to be tried again at once.</summary>
    public static bool IsRetryable(Exception e) => e is PostgresException
    {
        SqlState: PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure,
    };

    /// <summary>Whether rows found no partition.</summary>
    public static bool IsMissingPartition(Exception e) =>
        e is PostgresException { SqlState: PostgresErrorCodes.CheckViolation } p
        && p.MessageText.Contains("partition", StringComparison.Ordinal);

    /// <summary>Whether the database is well and refused what it was given: it would again.</summary>
    public static bool IsRefusal(Exception e) => e is PostgresException { SqlState: { } state }
        && (state.StartsWith("22", StringComparison.Ordinal) || state.StartsWith("23", StringComparison.Ordinal)
            || state.StartsWith("54", StringComparison.Ordinal));

    /// <summary>
    /// Whether time alone may mend it: connections and resources (classes 08, 53), locks and conflicts (40, 55), a server that starts,
    /// stops or is a standby (25, 57), its machine (58).
    /// </summary>
    public static bool MayPass(Exception e) => e is not PostgresException p || p.SqlState[..2] is "08" or "25" or "40" or "53" or "55" or "57" or "58";

    /// <summary>
    /// Whether the connection, or the pool's others, may be dead: a server that was stopped or killed closes all at once, so that one
    /// dead connection speaks for the others of its age.
    /// </summary>
    public static bool IsOfConnection(Exception e) => e is not StandbyException && (e is not PostgresException p
        || p.SqlState.StartsWith("57P", StringComparison.Ordinal) || p.SqlState.StartsWith("08", StringComparison.Ordinal)
        || p.SqlState is PostgresErrorCodes.ReadOnlySqlTransaction);

    /// <summary>Whether a read that failed may be made again on another connection at once: the server did not take its time over it.</summary>
    public static bool IsWorthAnotherConnection(Exception e) => IsOfConnection(e) && !IsTimeout(e);

    /// <summary>The failure in one line for people; without what a connection string may hold.</summary>
    public static string Explain(Exception e) => e switch
    {
        PostgresException { SqlState: PostgresErrorCodes.ReadOnlySqlTransaction } => "PostgreSQL takes no writes now: it is read-only or a standby.",
        PostgresException p => $"PostgreSQL: {p.MessageText} ({p.SqlState}).",
        _ when IsTimeout(e) => "PostgreSQL did not answer in time.",
        _ when e.GetBaseException() is SocketException socket => $"PostgreSQL is not reachable: {socket.SocketErrorCode}.",
        _ => $"PostgreSQL: {e.Message}",
    };

    /// <summary>Whether an answer, a connection or a place in the pool did not come in time.</summary>
    public static bool IsTimeout(Exception e) => e is TimeoutException || e.InnerException is TimeoutException;
}

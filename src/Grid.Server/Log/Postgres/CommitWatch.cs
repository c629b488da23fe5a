using Npgsql;

namespace Grid.Server.Log.Postgres;

/// <summary>
/// Watches a connection for commits that succeeded here only. A commit that waits for a synchronous standby and is cancelled, as Npgsql
/// does when a command has taken its time, or an administrator, is not undone: PostgreSQL warns, and answers with success.
/// </summary>
internal sealed class CommitWatch
{
    /// <summary>The function of PostgreSQL that warns; unlike the text it is the same in every language.</summary>
    private const string Routine = "SyncRepWaitForLSN";

    private volatile bool _cutShort;

    public CommitWatch(NpgsqlConnection connection) => connection.Notice += (_, e) =>
    {
        if (e.Notice.Routine == Routine || (e.Notice.Routine is null && e.Notice.InvariantSeverity == "WARNING")) _cutShort = true;
    };

    /// <summary>To be called when the answer was read to its end, before anybody is told of a success.</summary>
    /// <exception cref="StandbyException">The standby may lack what was committed.</exception>
    public void Verify()
    {
        if (!_cutShort) return;
        _cutShort = false;
        throw new StandbyException();
    }
}

/// <summary>A commit is stored on the server, and not known to be on its synchronous standby: whether it lasts is unknown.</summary>
internal sealed class StandbyException() : NpgsqlException("the synchronous standby did not confirm a commit in time, and may lack it");

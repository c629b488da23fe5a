using Microsoft.Extensions.Logging;

namespace Grid.Server.Log.Postgres;

internal sealed partial class PostgresSchema
{
    [LoggerMessage(1, LogLevel.Information, "Applied the schema script {Script} to {Database}.")]
    private static partial void LogApplied(ILogger logger, string script, string database);

    [LoggerMessage(2, LogLevel.Warning, "Waiting for {Database}. {Reason}")]
    private static partial void LogWaiting(ILogger logger, string database, string reason);

    [LoggerMessage(3, LogLevel.Warning, "{Database} runs with fsync=off: a crash of its machine can lose acknowledged messages.")]
    private static partial void LogNoFsync(ILogger logger, string database);
}

using Microsoft.Extensions.Logging;

namespace Grid.Server.Log;

internal sealed partial class RetentionSweeper
{
    [LoggerMessage(1, LogLevel.Debug, "Retention removed {Messages} messages of {Channels} channels, and {Keys} idempotency keys.")]
    private static partial void LogSwept(ILogger logger, long messages, int channels, long keys);

    [LoggerMessage(2, LogLevel.Warning, "A retention sweep failed; the next one goes on.")]
    private static partial void LogSweepFailed(ILogger logger, Exception cause);
}

using Microsoft.Extensions.Logging;

namespace Grid.Server.Log;

internal sealed partial class StoreWriter
{
    [LoggerMessage(1, LogLevel.Error, "A write to the store failed: {Reason} Publishes are refused until it can be written again.")]
    private static partial void LogWriteFailed(ILogger logger, string reason, Exception cause);

    [LoggerMessage(2, LogLevel.Warning, "The store still cannot be written: {Reason}")]
    private static partial void LogStillUnavailable(ILogger logger, string reason);

    [LoggerMessage(3, LogLevel.Information, "The store can be written again.")]
    private static partial void LogHealed(ILogger logger);
}

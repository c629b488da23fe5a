using Microsoft.Extensions.Logging;

namespace Grid.Server.Log;

internal sealed partial class RocksDbStore
{
    [LoggerMessage(1, LogLevel.Information, "The embedded store is open in {Directory}.")]
    private static partial void LogOpened(ILogger logger, string directory);
}

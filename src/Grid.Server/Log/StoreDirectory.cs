using Grid.Server.Hosting;
using RocksDbSharp;

namespace Grid.Server.Log;

/// <summary>The folder of the embedded store: whether it can be used, and in plain words why not.</summary>
internal static class StoreDirectory
{
    private const string ElseSet = "or name another folder in Grid__DataDirectory";

    /// <summary>Enough that a store which can write this can also write the files of an opening.</summary>
    private const int ProbeBytes = 1024 * 1024;

    /// <summary>The low 16 bits of HResult for a full disk: ENOSPC, EDQUOT and EFBIG; ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL.</summary>
    private static readonly int[] DiskFullCodes = OperatingSystem.IsWindows() ? [112, 39] : [28, 122, 27, 69];

    /// <summary>Makes the folder if need be and tries it out; returns its full path.</summary>
    /// <exception cref="GridStartupException">It cannot be used.</exception>
    public static string Prepare(string dataDirectory)
    {
        string directory;
        try
        {
            directory = Path.GetFullPath(dataDirectory);
            Directory.CreateDirectory(directory);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new GridStartupException(
                $"The data directory '{dataDirectory}' cannot be created: {Sentence(e)} Make it for the user who runs Grid, {ElseSet}.", e);
        }

        try
        {
            Probe(directory);
        }
        catch (Exception e) when (IsDiskFull(e))
        {
            throw DiskFull(directory, e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new GridStartupException(
                $"The data directory '{directory}' cannot be written: {Sentence(e)} Give the user who runs Grid the right to, {ElseSet}.", e);
        }

        // RocksDB takes a folder without this file for an empty one, and would start a new database over the old one's files.
        if (!File.Exists(Path.Combine(directory, "CURRENT")) && Directory.EnumerateFiles(directory, "*.sst").Any())
            throw Damaged(directory, "its file CURRENT is missing.", null);
        return directory;
    }

    /// <summary>Writes a small file and removes it.</summary>
    /// <exception cref="IOException">It cannot be written, or there is no space.</exception>
    public static void Probe(string directory)
    {
        var path = Path.Combine(directory, ".grid-write-test");
        try
        {
            using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete);
            file.Write(new byte[ProbeBytes]);
            file.Flush(flushToDisk: true);
        }
        finally
        {
            File.Delete(path);
        }
    }

    /// <summary>Whether a failure means that there is no space (or that a quota is used up).</summary>
    public static bool IsDiskFull(Exception failure) => failure switch
    {
        RocksDbException => failure.Message.Contains("No space left", StringComparison.OrdinalIgnoreCase)
            || failure.Message.Contains("Disk quota exceeded", StringComparison.OrdinalIgnoreCase)
            || failure.Message.Contains("File too large", StringComparison.OrdinalIgnoreCase),
        IOException => DiskFullCodes.Contains(failure.HResult & 0xFFFF),
        _ => false,
    };

    /// <summary>Says why the database did not open.</summary>
    public static GridStartupException CannotOpen(string directory, Exception e)
    {
        var message = e.Message;
        if (message.Contains("lock", StringComparison.OrdinalIgnoreCase) && message.Contains("LOCK", StringComparison.Ordinal))
            return new GridStartupException(
                $"The data directory '{directory}' is in use by another process. One Grid at a time can use it: stop the other one, {ElseSet}.", e);
        if (IsDiskFull(e)) return DiskFull(directory, e);
        if (message.Contains("Column families not opened", StringComparison.OrdinalIgnoreCase))
            return new GridStartupException(
                $"The data directory '{directory}' holds a database of a newer version of Grid or of something else ({message}). Start that version, {ElseSet}.", e);
        if (message.StartsWith("Corruption", StringComparison.Ordinal)
            || message.Contains("does not exist", StringComparison.OrdinalIgnoreCase)
            || message.Contains("No such file", StringComparison.OrdinalIgnoreCase))
            return Damaged(directory, message, e);
        return new GridStartupException($"The store in the data directory '{directory}' does not open: {message}", e);
    }

    private static GridStartupException DiskFull(string directory, Exception e) => new(
        $"The disk of the data directory '{directory}' is full. Free some space, {ElseSet}.", e);

    private static GridStartupException Damaged(string directory, string detail, Exception? e) => new(
        $"The store in the data directory '{directory}' is damaged: {detail} Restore it from a backup, {ElseSet}. Grid has changed nothing.", e);

    private static string Sentence(Exception e) => e.Message.EndsWith('.') ? e.Message : e.Message + ".";
}

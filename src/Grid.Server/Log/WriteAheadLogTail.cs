using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Runtime.Versioning;

namespace Grid.Server.Log;

/// <summary>
/// Cuts what a power loss left half written at the end of the database's write-ahead log, before RocksDB reads it. Recovery drops
/// these bytes anyway (<see cref="RocksDbTuning"/>), but on some arrangements of arbitrary bytes RocksDB's reader never ends
/// (facebook/rocksdb#13333), and a server that hangs in its start says nothing and heals never.
/// </summary>
/// <remarks>
/// The form of the file (RocksDB's wiki, "Write Ahead Log File Format"): blocks of 32 KiB; in them records of a masked CRC-32C (4),
/// a length (2) and a type (1), little-endian, and the bytes, where the checksum is of type and bytes; no record crosses the end
/// of a block, and less than a header's space there is zeros. A write is one record of type full, or first, middle … and last.
/// </remarks>
internal static class WriteAheadLogTail
{
    private const int BlockBytes = 32 * 1024;
    private const int HeaderBytes = 7;

    /// <summary>The bytes that the header of other types (recycled logs) has beyond the seven.</summary>
    private const int LogNumberBytes = 4;

    private const byte Full = 1;
    private const byte First = 2;
    private const byte Middle = 3;
    private const byte Last = 4;

    /// <summary>
    /// Cuts the newest log in a closed database's folder behind its last whole write. Older ones were synced before newer ones were
    /// written, and RocksDB compares their sizes.
    /// </summary>
    /// <returns>The file and how many bytes were cut; nothing if all is whole, or another process has the database open.</returns>
    /// <exception cref="IOException">The file cannot be read or cut.</exception>
    public static (string File, long Bytes)? Cut(string directory)
    {
        // The runtime cannot lock as RocksDB does there.
        if (OperatingSystem.IsMacOS()) return null;
        var newest = new DirectoryInfo(directory).EnumerateFiles("*.log")
            .Where(f => f.Length > 0).MaxBy(NumberOf);
        if (newest is null || NumberOf(newest) is null) return null;

        // The log of a database that is open elsewhere has an unfinished end at most moments: RocksDB's own lock says whether it is.
        using var held = TryLock(Path.Combine(directory, "LOCK"));
        if (held is null) return null;
        using var log = new FileStream(newest.FullName, FileMode.Open, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);
        var (whole, length) = (FindEnd(log), log.Length);
        if (whole == length) return null;
        log.SetLength(whole);
        log.Flush(flushToDisk: true);
        return (newest.Name, length - whole);
    }

    /// <summary>Where the last whole write ends, or the end of the file if it has records of types that Grid's logs do not have.</summary>
    internal static long FindEnd(Stream log)
    {
        var block = new byte[BlockBytes];
        var end = 0L;
        var within = false;
        for (var start = 0L; ; start += BlockBytes)
        {
            var bytes = block.AsSpan(0, log.ReadAtLeast(block, BlockBytes, throwOnEndOfStream: false));
            var at = 0;
            while (bytes.Length - at >= HeaderBytes)
            {
                var length = BinaryPrimitives.ReadUInt16LittleEndian(bytes[(at + 4)..]);
                var (type, size) = (bytes[at + 6], HeaderBytes + length);
                if (!IsWhole(bytes[at..], size))
                    return type > Last && IsWhole(bytes[at..], size + LogNumberBytes) ? log.Length : end;
                if (type is < Full or > Last) return log.Length;

                // A middle or last without a first, and a first or full before a last, cannot be where each write was whole.
                if (within != type is Middle or Last) return end;
                within = type is First or Middle;
                at += size;
                if (!within) end = start + at;
            }

            if (bytes.Length < BlockBytes) return end;

            // The filling at the end of a block belongs to what lies before it.
            if (!within) end = start + BlockBytes;
        }
    }

    /// <summary>Whether these bytes begin with a record of this size whose checksum is right.</summary>
    private static bool IsWhole(ReadOnlySpan<byte> bytes, int size)
    {
        if (size > bytes.Length) return false;
        var crc = uint.MaxValue;
        var rest = bytes[6..size];
        for (; rest.Length >= sizeof(ulong); rest = rest[sizeof(ulong)..]) crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(rest));
        foreach (var one in rest) crc = BitOperations.Crc32C(crc, one);
        crc = ~crc;
        return BitOperations.RotateRight(crc, 15) + 0xa282ead8u == BinaryPrimitives.ReadUInt32LittleEndian(bytes);
    }

    /// <summary>The number that is a log's name; nothing for other files.</summary>
    private static long? NumberOf(FileInfo log) =>
        long.TryParse(Path.GetFileNameWithoutExtension(log.Name), CultureInfo.InvariantCulture, out var number) ? number : null;

    /// <summary>Takes RocksDB's lock of a database, as RocksDB does; nothing if another process has it, or it may not be opened.</summary>
    [UnsupportedOSPlatform("macos")]
    private static FileStream? TryLock(string path)
    {
        FileStream? file = null;
        try
        {
            // Share.ReadWrite: the runtime's own lock of the whole file would be another one than RocksDB's.
            file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
            file.Lock(0, 0);
            return file;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Either way RocksDB says so.
            file?.Dispose();
            return null;
        }
    }
}

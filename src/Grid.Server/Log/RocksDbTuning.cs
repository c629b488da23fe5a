using System.Runtime.InteropServices;
using RocksDbSharp;

namespace Grid.Server.Log;

/// <summary>
/// How the embedded database is set up. The aim is one small machine: about 140 MB of memory whatever the amount of data, a synced
/// write-ahead log that is short enough to replay in a second or two, and background work that leaves the cores to the server.
/// </summary>
/// <remarks>
/// <para>Memory: the block cache (32 MiB, with index and filter blocks inside it) plus, per column family, at most
/// <c>write buffer × number of buffers</c>: messages 3 × 16, keys 2 × 12, their expiry 2 × 4, webhooks
/// 2 × 4 and their attempts 2 × 12, the four others 2 × 1 MiB.</para>
/// <para>Recovery is <see cref="Recovery.PointInTime"/>: after a crash the log is replayed up to the first record that is not whole.
/// Only what was never synced can be that, so a power loss's torn tail does not keep the server from starting. The sizes of synced
/// logs are kept in the manifest, so a log file that went missing is an error and not a silent loss.</para>
/// </remarks>
internal sealed class RocksDbTuning
{
    private const ulong Mebibyte = 1024 * 1024;

    /// <summary>Shared by all column families and kept over a reopening.</summary>
    private readonly Cache _cache = Cache.CreateLru(32 * Mebibyte);

    /// <summary>The settings of the whole database.</summary>
    public static DbOptions Database()
    {
        var options = new DbOptions()
            .SetCreateIfMissing(true)
            .SetCreateMissingColumnFamilies(true)
            .SetParanoidChecks(true)
            .SetWalRecoveryMode(Recovery.PointInTime)
            // Column families that are seldom written would keep old log files alive: past this they are flushed.
            .SetMaxTotalWalSize(128 * Mebibyte)
            // Writing to disk steadily instead of in one burst at the end of a file keeps syncs of the log short meanwhile.
            .SetBytesPerSync(1 * Mebibyte)
            .SetMaxOpenFiles(512)
            .SetInfoLogLevel(InfoLogLevel.Warn)
            .SetKeepLogFileNum(4)
            .SetMaxLogFileSize(4 * Mebibyte)
            .SetStatsDumpPeriodSec(0);
        Native.Instance.rocksdb_options_set_max_background_jobs(options.Handle, 2);
        Native.Instance.rocksdb_options_set_track_and_verify_wals_in_manifest(options.Handle, 1);
        return options;
    }

    /// <summary>
    /// Messages: written once, read in runs, deleted in runs. LZ4 costs little and JSON shrinks well. Files that hold deletions
    /// are compacted within six hours, so that trimmed messages give their space back.
    /// </summary>
    /// <remarks>
    /// A channel's messages are inserted one behind the other, so the memtable remembers per channel where the last one went
    /// instead of searching for it: measured, a quarter to a third less CPU per row. Only RocksDB's text form of options has this one.
    /// </remarks>
    public ColumnFamilyOptions Messages() => With(
        Family(16, 3, Table(16 * 1024, bloom: true), Compression.Lz4),
        "memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix.8");

    /// <summary>Idempotency keys: looked up once per keyed message and mostly absent, hence whole-key blooms also in memory.</summary>
    public ColumnFamilyOptions Keys()
    {
        var options = Family(12, 2, Table(4 * 1024, bloom: true), Compression.Lz4).SetMemtablePrefixBloomSizeRatio(0.1);
        Native.Instance.rocksdb_options_set_memtable_whole_key_filtering(options.Handle, 1);
        return options;
    }

    /// <summary>
    /// The expiry index of the keys: as many bytes as the keys, in few rows, written and deleted in order, never looked up.
    /// </summary>
    public ColumnFamilyOptions Expiry() => Family(4, 2, Table(16 * 1024, bloom: false), Compression.Lz4);

    /// <summary>
    /// Attempts of webhooks: written once, seldom read, dropped by days. All of a day lie side by side, so each compaction
    /// rewrites much of the day: the larger the buffer and the more files that it takes, the fewer there are. A subscription's rows are
    /// inserted one behind the other.
    /// </summary>
    public ColumnFamilyOptions Attempts() => With(
        Family(12, 2, Table(16 * 1024, bloom: false), Compression.Lz4).SetLevel0FileNumCompactionTrigger(12),
        "memtable_insert_with_hint_prefix_extractor=rocksdb.CappedPrefix.40");

    /// <summary>Webhooks: small rows that are written over and over; what is written over within a buffer never reaches a file.</summary>
    public ColumnFamilyOptions Webhooks() => Family(4, 2, Table(4 * 1024, bloom: true), Compression.Lz4);

    /// <summary>Everything else: small rows, few writes.</summary>
    public ColumnFamilyOptions Small() => Family(1, 2, Table(4 * 1024, bloom: true), Compression.Lz4);

    private static ColumnFamilyOptions Family(ulong bufferMebibytes, int buffers, BlockBasedTableOptions table, Compression compression)
    {
        var options = new ColumnFamilyOptions()
            .SetWriteBufferSize(bufferMebibytes * Mebibyte)
            .SetMaxWriteBufferNumber(buffers)
            .SetLevelCompactionDynamicLevelBytes(true)
            .SetTargetFileSizeBase(Math.Max(4, bufferMebibytes) * Mebibyte)
            .SetCompression(compression)
            .SetBlockBasedTableFactory(table);
        Native.Instance.rocksdb_options_set_ttl(options.Handle, 6 * 3600);
        return options;
    }

    private static ColumnFamilyOptions With(ColumnFamilyOptions options, string setting)
    {
        var result = new ColumnFamilyOptions();
        var text = Marshal.StringToCoTaskMemUTF8(setting);
        try
        {
            Native.Instance.rocksdb_get_options_from_string(options.Handle, text, result.Handle);
        }
        finally
        {
            Marshal.FreeCoTaskMem(text);
        }

        GC.KeepAlive(options);
        return result;
    }

    private BlockBasedTableOptions Table(ulong blockBytes, bool bloom)
    {
        var table = new BlockBasedTableOptions()
            .SetBlockSize(blockBytes)
            .SetBlockCache(_cache)
            .SetCacheIndexAndFilterBlocks(true)
            .SetPinL0FilterAndIndexBlocksInCache(true)
            .SetFormatVersion(6)
            .SetWholeKeyFiltering(true);
        return bloom ? table.SetFilterPolicy(BloomFilterPolicy.Create(10, false)) : table;
    }
}

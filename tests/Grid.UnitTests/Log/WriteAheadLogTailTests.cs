using System.Buffers.Binary;
using Grid.Abstractions;
using Grid.Server.Log;

namespace Grid.UnitTests.Log;

/// <summary>The half written end of a write-ahead log is cut before RocksDB reads it; nothing else ever is.</summary>
public sealed class WriteAheadLogTailTests : IDisposable
{
    private const int BlockBytes = 32 * 1024;

    private static readonly ChannelId Channel = new("default", "tail");

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_log_that_RocksDB_wrote_is_whole_to_its_last_byte()
    {
        // Sizes around those of a block, so that records begin and end at all distances from its end.
        var random = new Random(5);
        await FillAsync(Enumerable.Range(0, 200).Select(i => i % 3 == 0 ? BlockBytes - 100 + (i % 150) : random.Next(1, 3 * BlockBytes)));
        var bytes = Newest(_folder.Path, out _);
        Assert.True(bytes.Length > 100 * BlockBytes);
        Assert.Equal(bytes.Length, WriteAheadLogTail.FindEnd(new MemoryStream(bytes)));
        Assert.Null(WriteAheadLogTail.Cut(_folder.Path));
    }

    [Fact]
    public async Task Whatever_is_cut_off_or_changed_the_end_is_that_of_the_last_whole_write_before_it()
    {
        await FillAsync(Enumerable.Range(0, 60).Select(i => 700 * (i % 50)));
        var bytes = Newest(_folder.Path, out _);
        var ends = Ends(bytes);
        Assert.True(ends.Count >= 60);

        var random = new Random(7);
        for (var round = 0; round < 2000; round++)
        {
            var at = random.Next(bytes.Length);
            var expected = ends.Last(end => end <= at);
            Assert.Equal(expected, WriteAheadLogTail.FindEnd(new MemoryStream(bytes[..at])));

            // One bit; the filling at a block's end is read by nobody.
            var torn = (byte[])bytes.Clone();
            torn[at] ^= (byte)(1 << random.Next(8));
            var found = WriteAheadLogTail.FindEnd(new MemoryStream(torn));
            Assert.True(found == expected || (found > at && BlockBytes - (at % BlockBytes) < 7), $"byte {at}: {found} instead of {expected}");

            random.NextBytes(torn.AsSpan(at));
            Assert.Equal(expected, WriteAheadLogTail.FindEnd(new MemoryStream(torn)));
        }
    }

    [Fact]
    public async Task Bytes_on_which_the_reader_of_RocksDB_never_ends_do_not_hang_a_start()
    {
        await FillAsync(Enumerable.Range(0, 60).Select(i => 700 * (i % 50)));
        var bytes = Newest(_folder.Path, out var file);

        // A checksum that is wrong, and in the next block a type of 11 with a length beyond the end of the file.
        var last = (bytes.Length - 1) / BlockBytes * BlockBytes;
        for (var i = last - 2000; i < last; i++) bytes[i] ^= 0x55;
        bytes[last + 6] = 11;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(last + 4), ushort.MaxValue);
        await File.WriteAllBytesAsync(file, bytes);

        using (var child = Child.Start("hold", _folder.Path))
        {
            Assert.Equal("open", await child.Output.ReadLineAsync());
            await child.EndInputAsync();
            Assert.Equal(0, await child.WaitAsync());
        }

        await using var log = Logs.Open(_folder.Path);
        Assert.InRange((await log.GetHeadAsync(Channel)).Head, 40, 59);
    }

    [Fact]
    public async Task The_log_of_a_database_that_another_process_has_open_is_not_touched()
    {
        await FillAsync([100]);
        using var holder = Child.Start("hold", _folder.Path);
        Assert.Equal("open", await holder.Output.ReadLineAsync());
        Newest(_folder.Path, out var file);
        await File.AppendAllTextAsync(file, "the first half of a write");
        var length = new FileInfo(file).Length;

        Assert.Null(WriteAheadLogTail.Cut(_folder.Path));
        Assert.Equal(length, new FileInfo(file).Length);

        holder.Kill();
        await holder.WaitAsync();
        var cut = WriteAheadLogTail.Cut(_folder.Path);
        Assert.Equal((Path.GetFileName(file), 25L), cut);
        await using var log = Logs.Open(_folder.Path);
        Assert.Equal(1, (await log.GetHeadAsync(Channel)).Head);
    }

    [Fact]
    public async Task Records_of_a_form_that_Grid_does_not_write_are_left_to_RocksDB()
    {
        await FillAsync([10, 10]);
        var bytes = Newest(_folder.Path, out _);
        var whole = bytes.Length;

        // A whole record of a later version: type 200, no bytes; its checksum is that of the type alone.
        byte[] later = [0, 0, 0, 0, 0, 0, 200];
        var crc = ~System.Numerics.BitOperations.Crc32C(uint.MaxValue, (byte)200);
        BinaryPrimitives.WriteUInt32LittleEndian(later, System.Numerics.BitOperations.RotateRight(crc, 15) + 0xa282ead8u);
        byte[] log = [.. bytes, .. later, 1, 2, 3, 4, 5, 6, 7, 8];
        Assert.Equal(log.Length, WriteAheadLogTail.FindEnd(new MemoryStream(log)));
        log[whole] ^= 1;
        Assert.Equal(whole, WriteAheadLogTail.FindEnd(new MemoryStream(log)));
    }

    /// <summary>Appends messages of these sizes in a process that is killed, so that the log stays; bytes do not shrink.</summary>
    private async Task FillAsync(IEnumerable<int> sizes)
    {
        using var victim = Child.Start("fill", _folder.Path, string.Join(',', sizes));
        Assert.Equal("filled", await victim.Output.ReadLineAsync());
        victim.Kill();
        await victim.WaitAsync();
    }

    private static byte[] Newest(string folder, out string file)
    {
        file = Directory.GetFiles(folder, "*.log").OrderBy(f => f, StringComparer.Ordinal).Last();
        return File.ReadAllBytes(file);
    }

    /// <summary>Where the writes of a whole log end, by types and lengths alone.</summary>
    private static List<long> Ends(byte[] log)
    {
        var ends = new List<long> { 0 };
        for (var at = 0; at < log.Length;)
        {
            var left = BlockBytes - (at % BlockBytes);
            if (left < 7)
            {
                at += left;
                if (ends[^1] == at - left) ends[^1] = at;
                continue;
            }

            var type = log[at + 6];
            at += 7 + BinaryPrimitives.ReadUInt16LittleEndian(log.AsSpan(at + 4));
            if (type is 1 or 4) ends.Add(at);
        }

        return ends;
    }
}

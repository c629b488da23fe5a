using Grid.Server.Log;
using RocksDbSharp;

namespace Grid.UnitTests.Log;

public sealed class BatchBufferTests
{
    [Fact]
    public void Its_bytes_are_those_that_RocksDB_makes()
    {
        using var folder = new TempFolder();
        using var db = RocksDb.Open(new DbOptions().SetCreateIfMissing(true), folder.Path, new ColumnFamilies());
        var families = Enumerable.Range(0, 3).Select(i => db.CreateColumnFamily(new ColumnFamilyOptions(), $"f{i}")).ToArray();
        var random = new Random(7);
        var buffer = new BatchBuffer();
        for (var round = 0; round < 3; round++)
        {
            buffer.Reset();
            using var native = new WriteBatch();
            for (var row = 0; row < 500; row++)
            {
                var family = new Family(families[random.Next(families.Length)]);
                var key = Bytes(random, random.Next(1, 300));
                var value = Bytes(random, random.Next(3) == 0 ? random.Next(100_000) : random.Next(200));
                switch (random.Next(4))
                {
                    case 0:
                        buffer.Delete(family.Number, key);
                        native.Delete(key, family.Handle);
                        break;
                    case 1:
                        var end = Bytes(random, 10);
                        buffer.DeleteRange(family.Number, key, end);
                        native.DeleteRange(key, (ulong)key.Length, end, (ulong)end.Length, family.Handle);
                        break;
                    default:
                        buffer.Put(family.Number, key, value);
                        native.Put(key.AsSpan(), value.AsSpan(), family.Handle);
                        break;
                }
            }

            Assert.Equal(500, buffer.Count);
            Assert.True(buffer.Written.SequenceEqual(native.ToBytes()));
            using var copy = WriteBatch.FromSpan(buffer.Written);
            Assert.Equal(500, copy.Count());
        }
    }

    private static byte[] Bytes(Random random, int count)
    {
        var bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }
}

using System.Text;
using Grid.Abstractions;
using Grid.LogCrash;
using Grid.Server.Log;

namespace Grid.UnitTests.Log;

/// <summary>Processes killed at any moment, and logs whose end is torn: what was acknowledged is there, whole, and nothing is half there.</summary>
public sealed class RocksDbCrashTests : IDisposable
{
    private const int Channels = 24;

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Killed_at_random_moments_it_keeps_what_it_acknowledged()
    {
        var rounds = int.Parse(Environment.GetEnvironmentVariable("GRID_CRASH_ROUNDS") ?? "8");
        var seed = int.Parse(Environment.GetEnvironmentVariable("GRID_CRASH_SEED") ?? "1");
        var random = new Random(seed);
        var acknowledged = new long[Channels];
        var lines = 0L;
        for (var round = 0; round < rounds; round++)
        {
            using (var victim = Child.Start("append", _folder.Path, $"{Channels}", $"{seed + (round * 1000)}"))
            {
                Assert.Equal("ready", await victim.Output.ReadLineAsync());

                // Killed after some number of acknowledgements, and then at whatever moment that is in the next write.
                var until = random.Next(1, 3000);
                for (var i = 0; i < until; i++) Note(await victim.Output.ReadLineAsync(), acknowledged, ref lines);
                victim.Kill();
                Assert.NotEqual(0, await victim.WaitAsync());
                foreach (var line in WholeLines(await victim.Output.ReadToEndAsync())) Note(line, acknowledged, ref lines);
            }

            await using var log = Logs.Open(_folder.Path);
            await CheckAsync(log, acknowledged);
        }

        Assert.True(lines >= rounds);
    }

    [Fact]
    public async Task A_torn_end_of_the_write_ahead_log_costs_only_what_was_torn()
    {
        using (var victim = Child.Start("append", _folder.Path, $"{Channels}", "77"))
        {
            Assert.Equal("ready", await victim.Output.ReadLineAsync());
            for (var i = 0; i < 2000; i++) await victim.Output.ReadLineAsync();
            victim.Kill();
            await victim.WaitAsync();
        }

        // The whole, for comparison; in a copy, because opening it moves its log into tables.
        var whole = await HeadsAsync(_folder.Path);
        Assert.True(whole.Sum() > 2000);
        var random = new Random(3);
        for (var round = 0; round < 18; round++)
        {
            using var copy = CopyOf(_folder.Path);
            var newest = Directory.GetFiles(copy.Path, "*.log").OrderBy(f => f, StringComparer.Ordinal).Last();
            var bytes = await File.ReadAllBytesAsync(newest);
            // Cut off, zeros (a file system's, where a file had grown and its bytes had not arrived), or what lay on the disk before.
            var torn = random.Next(1, Math.Min(40_000, bytes.Length / 2));
            if (round % 3 == 0) bytes = bytes[..^torn];
            else if (round % 3 == 1) bytes.AsSpan(bytes.Length - torn).Clear();
            else random.NextBytes(bytes.AsSpan(bytes.Length - torn));
            await File.WriteAllBytesAsync(newest, bytes);

            await using var log = Logs.Open(copy.Path);
            var heads = await CheckAsync(log, new long[Channels]);
            for (var c = 0; c < Channels; c++) Assert.InRange(heads[c], 0, whole[c]);
            Assert.True(heads.Sum() < whole.Sum() || torn < 100);

            // A group is lost from the torn one on: far less than half the log.
            Assert.True(heads.Sum() > 0);

            // And it goes on from there.
            var channel = new ChannelId("default", "crash:0");
            var result = await log.AppendAsync(new AppendRequest
            {
                Channel = channel,
                ExpectedHead = (await log.GetHeadAsync(channel)).Position,
                Messages = [new() { Offset = heads[0] + 1, At = 1, Payload = Grid.Protocol.Payload.Json("1"u8.ToArray()) }],
                KeyWindow = TimeSpan.FromDays(1),
            });
            Assert.Equal(AppendStatus.Appended, result.Status);
        }
    }

    private static void Note(string? line, long[] acknowledged, ref long lines)
    {
        Assert.NotNull(line);
        var parts = line.Split(' ').Select(long.Parse).ToArray();

        // Acknowledgements of a channel come in order, so its last one stands for all before.
        Assert.True(parts[1] <= parts[2]);
        acknowledged[parts[0]] = parts[2];
        lines++;
    }

    private static string[] WholeLines(string text) => text.Split('\n')[..^1];

    /// <summary>Checks every channel from its first message to its last, and its keys; returns the heads.</summary>
    private static async Task<long[]> CheckAsync(RocksDbMessageLog log, long[] acknowledged)
    {
        var heads = new long[Channels];
        for (var c = 0; c < Channels; c++)
        {
            var channel = new ChannelId("default", $"crash:{c}");
            var head = await log.GetHeadAsync(channel);
            heads[c] = head.Head;
            Assert.True(head.Head >= acknowledged[c], $"channel {c}: {acknowledged[c]} was acknowledged, {head.Head} is stored");
            Assert.Equal(1, head.Oldest);
            var next = 1L;
            while (next <= head.Head)
            {
                var page = await log.ReadAsync(channel, next - 1, 1000);
                Assert.NotEmpty(page.Messages);
                foreach (var message in page.Messages)
                {
                    Assert.Equal(next, message.Offset);
                    Assert.Equal(next, message.At);
                    Assert.Equal(Victim.Key(c, next), message.Key);
                    Assert.Equal(Victim.Body(c, next), Encoding.UTF8.GetString(message.Payload.Bytes.Span));
                    next++;
                }

                // Every message's key is known at its offset, and no key of a message that is not there.
                var known = await log.FindKeysAsync(channel, [.. page.Messages.Select(m => m.Key!)]);
                Assert.Equal(page.Messages.Select(m => m.Offset), known);
            }

            Assert.Equal((long[])[0], await log.FindKeysAsync(channel, [Victim.Key(c, head.Head + 1)]));
        }

        return heads;
    }

    private static async Task<long[]> HeadsAsync(string folder)
    {
        using var copy = CopyOf(folder);
        await using var log = Logs.Open(copy.Path);
        return await CheckAsync(log, new long[Channels]);
    }

    private static TempFolder CopyOf(string folder)
    {
        var copy = new TempFolder();
        foreach (var file in Directory.GetFiles(folder)) File.Copy(file, Path.Combine(copy.Path, Path.GetFileName(file)));
        return copy;
    }
}

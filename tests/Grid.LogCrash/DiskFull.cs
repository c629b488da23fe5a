using System.Runtime.InteropServices;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.LogCrash;

/// <summary>
/// Lives through a disk that is full: the parent starts this process with a small limit on the size of files (<c>ulimit -S -f</c>,
/// and the signal for it ignored), so writes really fail, without needing a file system of its own. Then the limit is lifted.
/// </summary>
internal static partial class DiskFull
{
    private const int FileSizeLimit = 1;

    public static async Task<int> RunAsync(RocksDbMessageLog log)
    {
        var channel = new ChannelId("default", "full:1");
        var head = (await log.GetHeadAsync(channel)).Position;

        // 1. Append until the disk is full.
        try
        {
            while (true) head = await AppendAsync(log, channel, head);
        }
        catch (LogUnavailableException e)
        {
            Console.WriteLine($"full at {head.Offset}: {e.Message}");
        }

        // 2. Meanwhile it answers at once that it cannot, and what was acknowledged is still read.
        for (var i = 0; i < 20; i++)
        {
            try
            {
                await AppendAsync(log, channel, head);
                Console.WriteLine("an append went through a full disk");
                return 1;
            }
            catch (LogUnavailableException)
            {
                // As it should be.
            }
        }

        var last = await log.ReadAsync(channel, head.Offset - 1, 10);
        Console.WriteLine($"read {last.Messages[0].Offset}");

        // 3. Space is back: it heals by itself.
        var limit = new Limit { Soft = ulong.MaxValue, Hard = ulong.MaxValue };
        if (SetLimit(FileSizeLimit, limit) != 0) return 1;
        var deadline = TimeProvider.System.GetTimestamp();
        while (true)
        {
            try
            {
                var now = (await log.GetHeadAsync(channel)).Position;

                // The failed append may have been stored after all, but nothing else.
                if (now.Offset != head.Offset && now.Offset != head.Offset + 1)
                {
                    Console.WriteLine($"the head is {now.Offset} after {head.Offset}");
                    return 1;
                }

                now = await AppendAsync(log, channel, now);
                Console.WriteLine($"healed at {now.Offset}");
                return 0;
            }
            catch (LogUnavailableException) when (TimeProvider.System.GetElapsedTime(deadline) < TimeSpan.FromSeconds(120))
            {
                await Task.Delay(50);
            }
        }
    }

    private static async Task<Position> AppendAsync(RocksDbMessageLog log, ChannelId channel, Position head)
    {
        // Large, so that few appends one after the other fill the disk also on a busy machine.
        var payload = new byte[256 * 1024];
        Random.Shared.NextBytes(payload);
        var result = await log.AppendAsync(new AppendRequest
        {
            Channel = channel,
            ExpectedHead = head,
            Messages = [new Message { Offset = head.Offset + 1, At = head.Offset + 1, Payload = Payload.Binary(payload) }],
            KeyWindow = TimeSpan.FromDays(1),
        });
        return result.Status == AppendStatus.Appended ? result.Head : throw new InvalidOperationException($"{result}");
    }

    [LibraryImport("libc", EntryPoint = "setrlimit")]
    private static partial int SetLimit(int resource, in Limit limit);

    [StructLayout(LayoutKind.Sequential)]
    private struct Limit
    {
        public ulong Soft;
        public ulong Hard;
    }
}

using System.Diagnostics;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.LogCrash;

/// <summary>Appends at full speed on many channels, as their sequencers would: one append under way per channel.</summary>
internal static class Throughput
{
    public static async Task<int> RunAsync(RocksDbMessageLog log, int channels, int seconds, int payloadBytes, int batch, bool keys)
    {
        using var end = new CancellationTokenSource();
        var payload = new byte[payloadBytes];
        new Random(1).NextBytes(payload);
        var counts = new long[channels * 16];
        var syncs = log.Store.Writer.Groups;
        var allocated = GC.GetTotalAllocatedBytes();
        var cpu = Process.GetCurrentProcess().TotalProcessorTime;
        var start = Stopwatch.GetTimestamp();
        var writers = Enumerable.Range(0, channels).Select(c => Task.Run(async () =>
        {
            var channel = new ChannelId("default", $"bench:{c}");
            var head = (await log.GetHeadAsync(channel)).Position;
            while (!end.IsCancellationRequested)
            {
                var messages = new Message[batch];
                for (var i = 0; i < batch; i++)
                {
                    var offset = head.Offset + 1 + i;
                    messages[i] = new Message
                    {
                        Offset = offset, At = 1795452674123, Payload = Payload.Json(payload), Key = keys ? $"{c}-{offset}-0123456789" : null,
                    };
                }

                var result = await log.AppendAsync(new AppendRequest
                {
                    Channel = channel, ExpectedHead = head, Messages = messages, KeyWindow = TimeSpan.FromDays(1),
                });
                if (result.Status != AppendStatus.Appended) throw new InvalidOperationException($"{result}");
                head = result.Head;
                counts[c * 16] += batch;
            }
        })).ToArray();
        var last = 0L;
        for (var second = 1; second <= seconds; second++)
        {
            await Task.Delay(1000);
            var now = Sum();
            Console.WriteLine($"{second,3} s  {now - last,9:n0} messages/s");
            last = now;
        }

        var total = Sum();
        var elapsed = Stopwatch.GetElapsedTime(start);
        await end.CancelAsync();
        await Task.WhenAll(writers);
        var groups = log.Store.Writer.Groups - syncs;
        Console.WriteLine(
            $"{channels} channels, {payloadBytes} B, {batch} per append, keys {keys}: {total / elapsed.TotalSeconds:n0} messages/s, "
            + $"{groups / elapsed.TotalSeconds:n0} synced writes/s, {(double)total / groups:n0} messages each, "
            + $"{(GC.GetTotalAllocatedBytes() - allocated) / total:n0} B allocated per message, "
            + $"{(Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalMicroseconds / total:n2} µs CPU per message, "
            + $"{Process.GetCurrentProcess().WorkingSet64 >> 20} MB resident");
        return 0;

        long Sum() => Enumerable.Range(0, channels).Sum(c => Volatile.Read(ref counts[c * 16]));
    }
}

using System.Text;
using System.Threading.Channels;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.LogCrash;

/// <summary>
/// Appends to many channels at once, each several appends deep, until it is killed. Prints a line for every acknowledged append:
/// <c>channel first last</c>. What a message says and its key follow from its place, so a checker needs nothing else.
/// </summary>
public static class Victim
{
    private const int Depth = 4;

    public static string Key(int channel, long offset) => $"key-{channel}-{offset}";

    public static string Body(int channel, long offset) => $"{{\"c\":{channel},\"o\":{offset},\"x\":\"{new string('x', (int)(offset * 37 % 200))}\"}}";

    internal static async Task<int> RunAsync(RocksDbMessageLog log, int channels, int seed)
    {
        var lines = Channel.CreateUnbounded<string>(new UnboundedChannelOptions { SingleReader = true });
        var writers = Enumerable.Range(0, channels).Select(c => Task.Run(() => AppendForEverAsync(log, c, seed + c, lines.Writer))).ToArray();
        await using var output = Console.OpenStandardOutput();
        await output.WriteAsync("ready\n"u8.ToArray());
        while (await lines.Reader.WaitToReadAsync())
        {
            var text = new StringBuilder();
            while (lines.Reader.TryRead(out var line)) text.Append(line).Append('\n');

            // One write for whole lines: a pipe keeps up to 4 KiB together, and a cut last line is known by its missing end.
            await output.WriteAsync(Encoding.ASCII.GetBytes(text.ToString()));
            if (writers.FirstOrDefault(w => w.IsFaulted) is { } faulted) await faulted;
        }

        return 0;
    }

    private static async Task AppendForEverAsync(RocksDbMessageLog log, int number, int seed, ChannelWriter<string> lines)
    {
        var random = new Random(seed);
        var channel = new ChannelId("default", $"crash:{number}");
        var head = (await log.GetHeadAsync(channel)).Position;
        var pending = new Queue<(long First, long Last, Task<AppendResult> Append)>();
        while (true)
        {
            while (pending.Count < Depth)
            {
                var count = random.Next(1, 6);
                var messages = new Message[count];
                for (var i = 0; i < count; i++)
                {
                    var offset = head.Offset + 1 + i;
                    messages[i] = new Message
                    {
                        Offset = offset,
                        At = offset,
                        Payload = Payload.Json(Encoding.UTF8.GetBytes(Body(number, offset))),
                        Key = Key(number, offset),
                    };
                }

                var append = log.AppendAsync(new AppendRequest
                {
                    Channel = channel, ExpectedHead = head, Messages = messages, KeyWindow = TimeSpan.FromDays(1),
                }).AsTask();
                pending.Enqueue((head.Offset + 1, head.Offset + count, append));
                head = head with { Offset = head.Offset + count };
            }

            var (first, last, task) = pending.Dequeue();
            var result = await task;
            if (result.Status != AppendStatus.Appended) throw new InvalidOperationException($"{channel}: {result}");
            lines.TryWrite($"{number} {first} {last}");
        }
    }
}

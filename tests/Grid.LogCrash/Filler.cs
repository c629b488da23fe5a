using System.Globalization;
using System.Text;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;

namespace Grid.LogCrash;

/// <summary>Appends one message after the other, of the sizes it is given, each as a write of its own, and then waits to be killed.</summary>
internal static class Filler
{
    public static async Task<int> RunAsync(RocksDbMessageLog log, string sizes)
    {
        var channel = new ChannelId("default", "tail");
        var head = (await log.GetHeadAsync(channel)).Position;
        foreach (var size in sizes.Split(',').Select(s => int.Parse(s, CultureInfo.InvariantCulture)))
        {
            var result = await log.AppendAsync(new AppendRequest
            {
                Channel = channel,
                ExpectedHead = head,
                Messages = [new() { Offset = head.Offset + 1, At = 1, Payload = Payload.Json(Encoding.ASCII.GetBytes($"\"{new string('x', size)}\"")) }],
                KeyWindow = TimeSpan.FromDays(1),
            });
            if (result.Status != AppendStatus.Appended) return 1;
            head = result.Head;
        }

        Console.WriteLine("filled");
        await Console.In.ReadLineAsync();
        return 0;
    }
}

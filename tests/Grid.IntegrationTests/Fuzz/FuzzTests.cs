using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;
using Xunit.Abstractions;

namespace Grid.IntegrationTests.Fuzz;

/// <summary>
/// Garbage and spoiled frames on many sockets. The host must live, must not log errors, must go on serving others, and must give
/// back what the sockets cost. <c>GRID_SEED</c> repeats the bytes of a run; <c>GRID_FUZZ_SOCKETS</c> makes it longer.
/// </summary>
[Collection(AloneTests.Name)]
public class FuzzTests(ITestOutputHelper output)
{
    private const long AllowedGrowth = 64L << 20;

    private static readonly string[] Seeds =
    [
        """{"type":"hello","token":"x","client":"fuzz/1","resume":{"session":"s","token":"t","cursors":{"room:1":{"epoch":"e","offset":12}}}}""",
        """{"type":"subscribe","id":1,"channel":"room:1","from":{"last":50}}""",
        """{"type":"subscribe","id":1,"channel":"room:2","from":{"epoch":"e","offset":3}}""",
        """{"type":"unsubscribe","id":2,"channel":"room:1"}""",
        """{"type":"publish","id":3,"channel":"room:1","data":{"a":[1,2,3]},"key":"k-1","event":"x.y","ifOffset":41}""",
        """{"type":"publish","id":4,"channel":"room:1","data64":"AAECAw=="}""",
        """{"type":"ack","cursors":{"room:1":42}}""",
        """{"type":"auth","id":9,"token":"x"}""",
        """{"type":"ping"}""",
    ];

    [Theory]
    [InlineData(Subprotocols.Json)]
    [InlineData(Subprotocols.Proto)]
    public async Task Hostile_bytes_harm_nobody(string subprotocol)
    {
        var seed = Number("GRID_SEED") ?? Random.Shared.Next();
        var sockets = Number("GRID_FUZZ_SOCKETS") ?? 600;
        output.WriteLine($"GRID_SEED={seed} GRID_FUZZ_SOCKETS={sockets}");
        await using var host = await HostProcess.RunAsync([new("Grid__HelloTimeout", "00:00:02"), new("Grid__Heartbeat", "00:00:02")]);
        using var http = host.Http();
        var token = await http.TokenAsync("fuzz");
        await using var bystander = await RawClient.OpenAsync(host.Address, new() { Token = await http.TokenAsync("ana"), Subprotocol = subprotocol });
        await bystander.SubscribeAsync("calm:1");

        // The first part brings code and pools into memory; the second may not add much.
        await AttackAsync(host, token, subprotocol, seed, sockets / 3);
        var before = host.ResidentBytes();
        await AttackAsync(host, token, subprotocol, seed + 1_000_000, sockets);
        Assert.True(host.IsRunning, host.Output.Tail());
        var published = await bystander.PublishAsync("calm:1", "\"still here\"");
        Assert.Equal("published", published.Type);
        await bystander.MessageAsync("calm:1", 1);

        // What is left of the sockets ends; memory is looked at until it has come back or the deadline passes.
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            () => host.ResidentBytes() - before < AllowedGrowth,
            () => $"GRID_SEED={seed}: resident memory came back: before {before >> 20} MiB, now {host.ResidentBytes() >> 20} MiB");
        output.WriteLine($"resident before {before >> 20} MiB, after {host.ResidentBytes() >> 20} MiB");
        Assert.True(host.Output.Errors.Count == 0, $"GRID_SEED={seed}: {string.Join('\n', host.Output.Errors.Take(5))}\n{host.Output.Tail(60)}");
    }

    private static Task AttackAsync(HostProcess host, string token, string subprotocol, int seed, int sockets) => Parallel.ForEachAsync(
        Enumerable.Range(0, sockets), new ParallelOptions { MaxDegreeOfParallelism = 24 }, async (i, _) =>
        {
            var random = new Random(seed + i);
            try
            {
                await AttackOnceAsync(host, token, subprotocol, random);
            }
            catch (Exception e) when (e is IOException or SocketException or OperationCanceledException)
            {
                // The host ended the socket: its good right.
            }
        });

    private static async Task AttackOnceAsync(HostProcess host, string token, string subprotocol, Random random)
    {
        if (random.Next(10) == 0)
        {
            using var bare = await RawSocket.ConnectAsync(host.Address);
            await bare.SendBytesAsync(Bytes(random, 2000));
            return;
        }

        var credential = random.Next(8) == 0 ? Encoding.ASCII.GetString(AsciiBytes(random, 60)) : token;
        using var socket = await RawSocket.UpgradeAsync(host.Address, credential, subprotocol);
        if (socket.Status != 101) return;
        if (random.Next(4) != 0)
        {
            await socket.SendAsync(ClientFrames.Hello());
            if (await socket.ReadFrameAsync() is null) return;
        }

        for (var n = random.Next(1, 30); n > 0; n--) await SendSomethingAsync(socket, random);

        // Half of them go without a word, the others wait for the host's.
        if (random.Next(2) == 0) return;
        await socket.SendFrameAsync(8, new byte[] { 0x03, 0xE8 });
        await socket.ReadToCloseAsync();
    }

    private static Task SendSomethingAsync(RawSocket socket, Random random) => random.Next(12) switch
    {
        0 => socket.SendBytesAsync(Bytes(random, 300)),
        1 => socket.SendFrameAsync(random.Next(16), Bytes(random, 200), random.Next(4) != 0, random.Next(8) != 0, random.Next(4) == 0 ? random.Next(8) : 0),
        2 => socket.SendFrameAsync(socket.DataOpcode, Bytes(random, 500)),
        3 => socket.SendFrameAsync(socket.DataOpcode, Bytes(random, 100), claimedLength: random.NextInt64(0, long.MaxValue)),
        4 => socket.SendAsync(Whole(random)),
        5 => FragmentedAsync(socket, Whole(socket, random), random),
        6 => socket.SendFrameAsync(9, Bytes(random, 125)),
        _ => socket.SendFrameAsync(socket.DataOpcode, Spoiled(socket, random)),
    };

    private static async Task FragmentedAsync(RawSocket socket, byte[] bytes, Random random)
    {
        for (var at = 0; at < bytes.Length;)
        {
            var size = Math.Min(bytes.Length - at, random.Next(1, 40));
            await socket.SendFrameAsync(at == 0 ? socket.DataOpcode : 0, bytes.AsMemory(at, size), final: at + size == bytes.Length);
            at += size;
        }
    }

    private static string Whole(Random random) => Seeds[random.Next(Seeds.Length)];

    private static byte[] Whole(RawSocket socket, Random random) => RawSocket.BytesOf(socket.Subprotocol, Whole(random));

    /// <summary>A good frame with a few bytes changed, removed, repeated or put in, or two frames spliced.</summary>
    private static byte[] Spoiled(RawSocket socket, Random random)
    {
        var bytes = Whole(socket, random).ToList();
        for (var n = random.Next(1, 5); n > 0 && bytes.Count > 2; n--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(6))
            {
                case 0:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes.RemoveRange(at, Math.Min(bytes.Count - at, random.Next(1, 6)));
                    break;
                case 2:
                    bytes.InsertRange(at, bytes.Take(random.Next(1, 30)).ToArray());
                    break;
                case 3:
                    bytes.InsertRange(at, "\"\\[]{}:,-1e999\u0000"u8.ToArray().AsSpan(random.Next(10)).ToArray());
                    break;
                case 4:
                    bytes.InsertRange(at, Encoding.ASCII.GetBytes(new string('[', random.Next(1, 300))));
                    break;
                default:
                    bytes.AddRange(Whole(socket, random));
                    break;
            }
        }

        return [.. bytes];
    }

    private static byte[] Bytes(Random random, int most)
    {
        var bytes = new byte[random.Next(1, most)];
        random.NextBytes(bytes);
        return bytes;
    }

    private static byte[] AsciiBytes(Random random, int most)
    {
        var bytes = Bytes(random, most);
        for (var i = 0; i < bytes.Length; i++) bytes[i] = (byte)(33 + (bytes[i] % 90));
        return bytes;
    }

    private static int? Number(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;
}

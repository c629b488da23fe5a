using BenchmarkDotNet.Attributes;
using Grid.Abstractions;
using Grid.Benchmarks.Net;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Microsoft.Extensions.Logging.Abstractions;

namespace Grid.Benchmarks.Micro;

/// <summary>
/// Appends through <see cref="IMessageLog"/>, as channel grains make them: many channels, each with one append under way and the next
/// when it is answered. The figures are for one message.
/// </summary>
public class LogBenchmarks
{
    /// <summary>Messages appended in one invocation: enough that the group commit reaches its rhythm.</summary>
    private const int Messages = 64_000;

    private string _folder = "";
    private RocksDbStore? _store;
    private IMessageLog _log = null!;
    private Position[] _heads = [];
    private byte[] _payload = [];

    /// <summary>The implementation.</summary>
    [Params("RocksDB", "Memory")]
    public string Log { get; set; } = "";

    /// <summary>Channels that append at once.</summary>
    [Params(500)]
    public int Channels { get; set; }

    /// <summary>Messages in one append: what gathered on the channel while the last was under way.</summary>
    [Params(1, 16)]
    public int Batch { get; set; }

    [GlobalSetup]
    public async Task Setup()
    {
        var policies = new NamespacePolicies(Microsoft.Extensions.Options.Options.Create(new GridOptions()));
        if (Log == "Memory")
        {
            _log = new MemoryMessageLog(policies, TimeProvider.System);
        }
        else
        {
            _folder = Directory.CreateTempSubdirectory("grid-bench-").FullName;
            _store = RocksDbStore.Open(_folder, TimeProvider.System, NullLogger<RocksDbStore>.Instance);
            _log = new RocksDbMessageLog(_store, policies);
        }

        _payload = Stamp.Payload(128, 1);
        _heads = (await _log.GetHeadsAsync([.. Enumerable.Range(0, Channels).Select(Channel)])).Select(h => h.Position).ToArray();
    }

    [GlobalCleanup]
    public async Task Cleanup()
    {
        if (_store is not null) await _store.DisposeAsync();
        if (_folder.Length > 0) Directory.Delete(_folder, recursive: true);
    }

    [Benchmark(OperationsPerInvoke = Messages)]
    public Task Append() => Task.WhenAll(Enumerable.Range(0, Channels).Select(AppendToOneAsync));

    private static ChannelId Channel(int index) => new("default", $"log:{index}");

    private async Task AppendToOneAsync(int index)
    {
        var channel = Channel(index);
        for (var left = Messages / Channels; left > 0; left -= Batch)
        {
            var messages = new Message[Math.Min(Batch, left)];
            for (var i = 0; i < messages.Length; i++)
                messages[i] = new Message { Offset = _heads[index].Offset + 1 + i, At = 1, Payload = Payload.Json(_payload) };
            var result = await _log.AppendAsync(new AppendRequest
            {
                Channel = channel,
                ExpectedHead = _heads[index],
                Messages = messages,
                KeyWindow = TimeSpan.FromHours(24),
            });
            if (result.Status != AppendStatus.Appended) throw new InvalidOperationException($"{result.Status}");
            _heads[index] = result.Head;
        }
    }
}

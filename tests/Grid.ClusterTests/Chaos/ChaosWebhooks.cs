using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using Grid.Testing;
using Grid.Testing.History;
using Grid.Testing.Hosting;
using Grid.Testing.Net;

namespace Grid.ClusterTests.Chaos;

/// <summary>
/// Subscriptions of each mode, and the endpoint that they are sent to: it takes everything. Each is to get every message of its channels,
/// and those whose mode says so in order, repeats aside.
/// </summary>
internal sealed class ChaosWebhooks : IAsyncDisposable
{
    private readonly List<Subscription> _subscriptions = [];
    private readonly ConcurrentQueue<string> _oddities = new();
    private readonly IPAddress _address;
    private readonly TcpReceiver _receiver;

    /// <summary>Starts the endpoint.</summary>
    /// <param name="address">Where the silos reach it.</param>
    public ChaosWebhooks(IPAddress address)
    {
        _address = address;
        _receiver = new TcpReceiver(ServeAsync, address: address);
    }

    /// <summary>How many requests came.</summary>
    public long Delivered => _subscriptions.Sum(s => s.Requests);

    /// <summary>How many of them were for messages that had come before.</summary>
    public long Repeats => _subscriptions.Sum(s => s.Repeats);

    /// <summary>What nobody expected.</summary>
    public IReadOnlyCollection<string> Oddities => _oddities;

    /// <summary>Makes the subscriptions.</summary>
    public async Task StartAsync(GridHttp http, IReadOnlyList<string> channels)
    {
        await AddAsync(http, "parallel", "room:*", channels);
        await AddAsync(http, "keyed", channels[1], [channels[1]]);
        await AddAsync(http, "ordered", channels[2], [channels[2]]);
    }

    /// <summary>Waits until a channel's messages have come to all that subscribe to it.</summary>
    public async Task ReachAsync(StoredChannel stored, TestDeadline deadline)
    {
        foreach (var subscription in _subscriptions.Where(s => s.Channels.ContainsKey(stored.Channel)))
        {
            await deadline.UntilAsync(
                () => subscription.Count(stored.Channel) >= stored.Head,
                () => $"all {stored.Head} of {stored.Channel} reach the {subscription.Mode} webhook; it got {subscription.Count(stored.Channel)}");
            if (subscription.Count(stored.Channel) > stored.Head) _oddities.Enqueue($"the {subscription.Mode} webhook got messages of {stored.Channel} that are not stored");
        }
    }

    public ValueTask DisposeAsync() => _receiver.DisposeAsync();

    private async Task AddAsync(GridHttp http, string mode, string pattern, IReadOnlyList<string> channels)
    {
        _subscriptions.Add(new Subscription(mode, channels));
        var url = string.Create(CultureInfo.InvariantCulture, $"http://{_address}:{_receiver.Port}/{_subscriptions.Count - 1}");
        (await http.PostAsync("/v1/webhooks", JsonSerializer.Serialize(new { url, mode, channels = (string[])[pattern] }))).Ok();
    }

    private async Task ServeAsync(TcpReceiverConnection connection)
    {
        while (await connection.ReadAsync() is { } request)
        {
            var lines = request.Head.Split("\r\n");
            var path = lines[0].Split(' ')[1];
            var subscription = _subscriptions[int.Parse(path.AsSpan(1), CultureInfo.InvariantCulture)];
            if (subscription.Take(Header("grid-channel"), long.Parse(Header("grid-offset"), CultureInfo.InvariantCulture)) is { } oddity) _oddities.Enqueue(oddity);
            await connection.Stream.WriteAsync(NoContent, connection.Stop);

            string Header(string name) => lines.First(l => l.StartsWith(name + ":", StringComparison.OrdinalIgnoreCase))[(name.Length + 1)..].Trim();
        }
    }

    private static ReadOnlyMemory<byte> NoContent { get; } = Encoding.ASCII.GetBytes("HTTP/1.1 204 No Content\r\n\r\n");

    private sealed class Subscription(string mode, IEnumerable<string> channels)
    {
        private readonly Lock _gate = new();

        public string Mode => mode;

        /// <summary>The offsets that came, by channel.</summary>
        public Dictionary<string, HashSet<long>> Channels { get; } = channels.ToDictionary(c => c, _ => new HashSet<long>(), StringComparer.Ordinal);

        public long Requests { get; private set; }

        public long Repeats { get; private set; }

        public int Count(string channel)
        {
            lock (_gate) return Channels[channel].Count;
        }

        /// <summary>Notes a message; what is wrong about it.</summary>
        public string? Take(string channel, long offset)
        {
            lock (_gate)
            {
                Requests++;
                if (!Channels.TryGetValue(channel, out var came)) return $"the {mode} webhook got a message of {channel}";
                if (!came.Add(offset))
                {
                    Repeats++;
                    return null;
                }

                return mode != "parallel" && offset != came.Count ? $"the {mode} webhook got {channel}/{offset} after {came.Count - 1} messages" : null;
            }
        }
    }
}

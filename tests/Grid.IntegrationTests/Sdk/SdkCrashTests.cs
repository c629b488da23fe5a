using Grid.Testing.History;
using Grid.Testing.Hosting;
using Grid.Testing.Sdk;
using Grid.Testing.Wire;
using Grid.Testing;
using Xunit.Abstractions;

namespace Grid.IntegrationTests.Sdk;

/// <summary>
/// Applications that use only the SDKs, with the SDKs' own keys and reconnects, while the real host is killed and their sockets are
/// cut. What reached the applications, what they were answered and what is stored is judged as one history.
/// </summary>
[Collection(AloneTests.Name)]
public class SdkCrashTests(ITestOutputHelper output)
{
    private const int MessagesPerPeer = 1200;
    private static readonly string[] Channels = ["room:1", "room:2", "orders"];

    [Theory]
    [InlineData(3, 0, 1, Subprotocols.Json)]
    [InlineData(0, 2, 1, Subprotocols.Json)]
    [InlineData(2, 2, 2, Subprotocols.Json)]
    [InlineData(2, 2, 2, Subprotocols.Proto)]
    public async Task Every_message_is_stored_once_and_handled_once_through_kills_and_cuts(
        int dotnet, int node, int kills, string subprotocol)
    {
        using var deadline = TestDeadline.In(240);
        var history = new HistoryRecorder();
        var gate = new Milestones();
        await using var host = await HostProcess.RunAsync();
        var peers = await StartAsync(host, history, dotnet, node, subprotocol, gate, deadline);
        try
        {
            // They publish until the last kill is over and everybody should have had enough answers: no kill can come too late.
            var publishing = Task.WhenAll(peers.Select(p => p.PublishAsync(20 * MessagesPerPeer, deadline)));
            var total = peers.Count * MessagesPerPeer;
            for (var kill = 1; kill <= kills; kill++)
            {
                // Moments are numbers of answers, so each finds publishes on their way, however fast the machine is.
                await gate.ReachedAsync(total * ((2 * kill) - 1) / ((2 * kills) + 1), publishing, deadline);
                foreach (var peer in peers) peer.Cut();
                await gate.ReachedAsync(total * 2 * kill / ((2 * kills) + 1), publishing, deadline);
                await host.KillAsync();
                output.WriteLine($"killed after {gate.Count} of {total} answers");
                await host.StartAsync();
            }

            await gate.ReachedAsync(total, publishing, deadline);
            foreach (var peer in peers) peer.FinishPublishing();
            await publishing.WaitAsync(deadline.Token);
            var report = await PeerJudge.JudgeAsync(history, host, Channels, peers, deadline);
            output.WriteLine(report.Summary);
            report.ThrowIfBroken();
            Assert.Empty(peers.SelectMany(p => p.Oddities));
            Assert.InRange(peers.Sum(p => p.Acknowledged), total, 20 * total);
            Assert.Equal(peers.Sum(p => p.Acknowledged), history.StoredChannels.Values.Sum(c => c.Messages.Count));
            Assert.Empty(host.Output.Errors);
        }
        catch (Exception e) when (e is not TestFailedException)
        {
            throw new TestFailedException($"{e.Message}\n{string.Join('\n', peers)}\n{string.Join('\n', peers.SelectMany(p => p.Oddities).Take(20))}\n{host.Output.Tail(40)}", e);
        }
        finally
        {
            foreach (var peer in peers) await peer.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(Subprotocols.Json)]
    [InlineData(Subprotocols.Proto)]
    public async Task A_typescript_session_goes_on_in_another_process(string subprotocol)
    {
        using var deadline = TestDeadline.In(120);
        var history = new HistoryRecorder();
        await using var host = await HostProcess.RunAsync();
        using var http = host.Http();
        var token = await http.TokenAsync("ana");
        await using var first = new NodePeer("first", history, host.Address, token) { Subprotocol = subprotocol };
        await first.StartAsync(Channels, deadline);
        await first.PublishAsync(50, deadline);
        foreach (var channel in Channels)
        {
            var head = (await http.HistoryAsync(channel)).Head;
            await deadline.UntilAsync(() => first.HasReached(channel, head), () => $"{first} reaches {head}");
        }

        var stored = await first.CloseAsync(deadline);
        await using var other = new DotNetPeer("meanwhile", history, host.Address, await http.TokenAsync("bob"));
        await other.StartAsync(Channels, deadline);
        await other.PublishAsync(30, deadline);

        // The second process's messages are added to the first one's: together they must be whole, without a repeat.
        await using var second = new NodePeer("second", history, host.Address, token) { Stored = stored, Earlier = first, Subprotocol = subprotocol };
        await second.StartAsync(Channels, deadline);
        Assert.Equal(first.Session, second.Session);
        first.Report(await StoredAsync(http));
        var report = await PeerJudge.JudgeAsync(history, host, Channels, [other, second], deadline);
        report.ThrowIfBroken();
        Assert.Empty(first.Oddities.Concat(second.Oddities));
    }

    private static async Task<Dictionary<string, StoredChannel>> StoredAsync(GridHttp http)
    {
        var stored = new Dictionary<string, StoredChannel>();
        foreach (var channel in Channels) stored[channel] = await http.HistoryAsync(channel);
        return stored;
    }

    private static async Task<List<Peer>> StartAsync(
        HostProcess host, HistoryRecorder history, int dotnet, int node, string subprotocol, Milestones gate, TestDeadline deadline)
    {
        using var http = host.Http();
        var peers = new List<Peer>();
        for (var i = 0; i < dotnet; i++)
        {
            var token = await http.TokenAsync($"dotnet-{i}");
            peers.Add(new DotNetPeer($"dotnet-{i}", history, host.Address, token, subprotocol) { OnAcknowledged = gate.Note });
        }

        for (var i = 0; i < node; i++)
        {
            var token = await http.TokenAsync($"node-{i}");
            peers.Add(new NodePeer($"node-{i}", history, host.Address, token) { OnAcknowledged = gate.Note, Subprotocol = subprotocol });
        }

        await Task.WhenAll(peers.Select(p => p.StartAsync(Channels, deadline)));
        return peers;
    }

    /// <summary>Counts answers and tells at once when so many have come.</summary>
    private sealed class Milestones
    {
        private readonly Lock _gate = new();
        private TaskCompletionSource? _reached;
        private int _count;
        private int _wanted;

        public int Count
        {
            get
            {
                lock (_gate) return _count;
            }
        }

        public void Note()
        {
            lock (_gate)
            {
                if (++_count >= _wanted) _reached?.TrySetResult();
            }
        }

        public async Task ReachedAsync(int count, Task publishing, TestDeadline deadline)
        {
            Task reached;
            lock (_gate)
            {
                if (_count >= count) return;
                _wanted = count;
                _reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                reached = _reached.Task;
            }

            // What stops the publishing is the better message.
            if (await Task.WhenAny(reached, publishing).WaitAsync(deadline.Token) == publishing) await publishing;
        }
    }
}

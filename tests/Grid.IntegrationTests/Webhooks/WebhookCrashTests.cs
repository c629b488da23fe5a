using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Webhooks;
using Xunit.Abstractions;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>
/// The host killed in mid-delivery, with a backlog. What was acknowledged to its publisher arrives, under the same ids, though nothing is
/// published after the last kill; what comes twice is no more than what was on its way or not yet written.
/// </summary>
[Collection(AloneTests.Name)]
public sealed class WebhookCrashTests(ITestOutputHelper output)
{
    private const int Kills = 3;

    /// <summary>
    /// What a kill can cost: a write is made after 64 acknowledgements or 250 ms, and takes its time, in which as many again come; and
    /// what is on its way.
    /// </summary>
    private const int Unwritten = 3 * 64;

    /// <summary>How far what is published is ahead of the slowest: more than is delivered until the next kill, so that it finds a backlog.</summary>
    private const int Ahead = 400;

    private static readonly KeyValuePair<string, string?>[] Settings =
    [
        new("Grid__Webhooks__AllowPrivateNetworks", "true"),
        new("Grid__Webhooks__SweepInterval", "00:00:00.5"),
    ];

    private static readonly (string Name, string Mode, int InFlight)[] Modes = [("parallel", "parallel", 256), ("keyed", "keyed", 4), ("ordered", "ordered", 1)];

    [Fact]
    public async Task Everything_acknowledged_arrives_through_kills_under_the_same_ids_and_in_order_where_it_is_promised()
    {
        await using var host = await HostProcess.RunAsync(Settings);
        await using var receiver = new WebhookReceiver();
        foreach (var (name, mode, _) in Modes)
        {
            // Slower than what is published.
            receiver.At("/" + name).Answer = static async exchange =>
            {
                await Task.Delay(2, exchange.Connection.Stop);
                await exchange.RespondAsync(204);
            };
            await CreateAsync(host, receiver.At("/" + name), mode);
        }

        await using var load = new PublishLoad(host, receiver.At("/ordered"), channels: 4);
        for (var kill = 1; kill <= Kills; kill++)
        {
            // The moment is a number of deliveries, not a time.
            var at = receiver.At("/ordered").Delivered + 150;
            await receiver.At("/ordered").DeliveredAsync(at);
            if (kill == Kills) await load.StopAsync();
            await host.KillAsync();
            output.WriteLine($"killed with {load.Acknowledged.Count} acknowledged; {Tell(receiver)}");

            // Asked before the start, after which it soon is delivered.
            if (kill == Kills) Assert.True(receiver.At("/ordered").Delivered < load.Acknowledged.Count, "the last kill found no backlog");
            await host.StartAsync();
            load.OnHostBack();
        }

        // Nothing is published any more.
        foreach (var (name, _, inFlight) in Modes)
        {
            using var deadline = TestDeadline.In(60);
            var inbox = receiver.At("/" + name);
            await inbox.DeliveredAsync(load.Acknowledged.Count, deadline);

            // Some that nobody knows the outcome of may be among these.
            await inbox.UntilAsync(
                () => load.Acknowledged.Except(inbox.Requests.Where(r => r.Answered == 204).Select(r => (r.Channel, r.Offset))).Any() is false,
                () => $"{name} has all that was acknowledged",
                deadline);
            Check(name, inbox.Requests, load.Acknowledged, inOrder: name != "parallel", inFlight);
        }

        output.WriteLine(Tell(receiver));
        Assert.True(host.Output.Errors.Count == 0, string.Join('\n', host.Output.Errors.Take(10)));
    }

    [Fact]
    public async Task A_message_acknowledged_just_before_a_kill_is_delivered_though_nothing_else_ever_happens()
    {
        await using var host = await HostProcess.RunAsync(Settings);
        await using var receiver = new WebhookReceiver();
        await CreateAsync(host, receiver.At("/named"), "parallel", "orders");
        await CreateAsync(host, receiver.At("/prefix"), "ordered", "room:*");
        await receiver.CloseAsync();
        using (var http = host.Http())
        {
            await Task.WhenAll(http.PublishAsync("orders", "1"), http.PublishAsync("room:new", "2"));
        }

        await host.KillAsync();
        receiver.Open();
        await host.StartAsync();
        foreach (var (path, channel, data) in new[] { ("/named", "orders", "1"), ("/prefix", "room:new", "2") })
        {
            var request = await receiver.At(path).NextAsync();
            Assert.Equal((channel, 1L, data), (request.Channel, request.Offset, request.Json.GetProperty("data").GetRawText()));
        }
    }

    private static async Task CreateAsync(HostProcess host, WebhookInbox inbox, string mode, string pattern = "room:*")
    {
        using var http = host.Http();
        (await http.PostAsync("/v1/webhooks", $$$"""{"url":"{{{inbox.Url}}}","channels":["{{{pattern}}}"],"mode":"{{{mode}}}","retry":{"schedule":[0,1,1,1,1,1,1,1]}}""")).Ok();
    }

    private static string Tell(WebhookReceiver receiver) => string.Join(
        ", ", Modes.Select(m => $"{m.Name}: {receiver.At("/" + m.Name).Delivered} delivered in {receiver.At("/" + m.Name).Count} requests"));

    private static void Check(
        string name, IReadOnlyList<ReceivedWebhook> requests, IReadOnlyCollection<(string Channel, long Offset)> acknowledged, bool inOrder, int inFlight)
    {
        var byMessage = requests.GroupBy(r => (r.Channel, r.Offset)).ToDictionary(g => g.Key, g => g.ToList());
        var missing = acknowledged.Where(a => !byMessage.ContainsKey(a)).ToList();
        Assert.True(missing.Count == 0, $"{name}: missing {string.Join(", ", missing.Take(10))}");
        Assert.All(byMessage, m => Assert.Single(m.Value.Select(r => r.Id).Distinct()));
        Assert.Equal(byMessage.Count, requests.Select(r => r.Id).Distinct().Count());

        var repeats = requests.Count - byMessage.Count;
        Assert.True(repeats <= Kills * (Unwritten + inFlight), $"{name}: {repeats} requests came again");
        if (!inOrder) return;
        foreach (var channel in requests.GroupBy(r => r.Channel))
        {
            // After a kill it may go back, but then goes on message by message: none is overtaken.
            long last = 0;
            foreach (var request in channel)
            {
                Assert.True(request.Offset <= last + 1, $"{name}: {request} after {last}");
                last = Math.Max(last, request.Offset);
            }

            Assert.Equal(Enumerable.Range(1, (int)last).Select(i => (long)i), channel.Select(r => r.Offset).Distinct().Order());
        }
    }

    /// <summary>Publishes through kills, as fast as the slowest takes it, and knows what was acknowledged.</summary>
    private sealed class PublishLoad : IAsyncDisposable
    {
        private readonly HostProcess _host;
        private readonly WebhookInbox _slowest;
        private readonly List<(string, long)> _acknowledged = [];
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _publishing;
        private TaskCompletionSource _back = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public PublishLoad(HostProcess host, WebhookInbox slowest, int channels)
        {
            (_host, _slowest) = (host, slowest);
            _publishing = Task.WhenAll(Enumerable.Range(0, channels).Select(i => PublishAsync($"room:{i}")));
        }

        public IReadOnlyCollection<(string Channel, long Offset)> Acknowledged
        {
            get
            {
                lock (_acknowledged) return [.. _acknowledged];
            }
        }

        private bool MayGoOn
        {
            get
            {
                lock (_acknowledged) return _stop.IsCancellationRequested || _acknowledged.Count - _slowest.Delivered < Ahead;
            }
        }

        /// <summary>The host was killed, and is back.</summary>
        public void OnHostBack() =>
            Interlocked.Exchange(ref _back, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).SetResult();

        public async Task StopAsync()
        {
            await _stop.CancelAsync();
            OnHostBack();
            await _publishing;
        }

        public async ValueTask DisposeAsync()
        {
            await StopAsync();
            _stop.Dispose();
        }

        private async Task PublishAsync(string channel)
        {
            using var http = _host.Http();
            for (var i = 0; !_stop.IsCancellationRequested; i++)
            {
                // Taken before the request: the host may be back before its failure is known here.
                var back = Volatile.Read(ref _back).Task;
                try
                {
                    var batch = string.Join(',', Enumerable.Range(0, 4).Select(k => $$"""{"data":{{(4 * i) + k}},"key":"{{i}}-{{k}}"}"""));
                    var answer = await http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), $"[{batch}]");
                    if (answer.Status != System.Net.HttpStatusCode.OK) continue;
                    lock (_acknowledged)
                    {
                        foreach (var one in answer.Json.EnumerateArray()) _acknowledged.Add((channel, one.GetProperty("offset").GetInt64()));
                    }
                }
                catch (Exception e) when (e is HttpRequestException or System.Net.Sockets.SocketException or OperationCanceledException)
                {
                    // Killed: nobody knows what became of it, so it was not acknowledged. The same keys again, once it is back.
                    i--;
                    await back;
                }

                using var deadline = TestDeadline.In(60);
                await _slowest.UntilAsync(() => MayGoOn, () => "the slowest catches up with what is published", deadline);
            }
        }
    }
}

using System.Diagnostics;
using System.Globalization;
using Grid.Abstractions;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;
using Grid.Server.Webhooks.Store.Keys;
using Grid.Server.Webhooks.Store.RocksDb;
using Microsoft.Extensions.Logging.Abstractions;
using MsOptions = Microsoft.Extensions.Options.Options;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>
/// What dead subscriptions cost that have a backlog, a failed message and an open circuit: a host starts on a store that has them, and CPU
/// time and memory are looked at for a minute. Without probes none is due in that time; with probes they are spread over the hour that is
/// between two of one endpoint, as they are in the long run.
/// </summary>
internal static class Crowd
{
    private const int PerChannel = 1_000;
    private const int PerTenant = 10_000;
    private const int Backlog = 3;
    private const int Writers = 256;
    private const long HourMs = 3_600_000;
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(20);

    /// <summary>The verb <c>webhooks-dead</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (counts, time) = (options.Ints("subscriptions", 1, 100_000), options.Seconds("seconds", 40));
        var probes = options.Has("probes");
        options.RefuseOthers("env", "perf");
        using var loop = new EventLoop();
        using var receiver = HookReceiver.Start();
        foreach (var count in counts)
        {
            var folder = Directory.CreateTempSubdirectory("grid-bench-").FullName;
            try
            {
                var watch = Stopwatch.StartNew();
                FillAsync(Path.Combine(folder, "data"), count, probes, receiver).GetAwaiter().GetResult();
                Console.WriteLine(FormattableString.Invariant($"{count} subscriptions stored in {watch.Elapsed.TotalSeconds:0.0} s"));
                using var server = GridServer.Start(
                    options, ("Grid__Webhooks__AllowPrivateNetworks", "true"), ("Grid__DataDirectory", Path.Combine(folder, "data")));
                loop.RunFor(Settling);
                var heap = ManagedHeap.Collect(server.ProcessId!.Value);
                var (attempts, used, start) = (Attempts(server), server.Usage(), Stopwatch.GetTimestamp());
                loop.RunFor(time);
                var (seconds, after) = (Stopwatch.GetElapsedTime(start).TotalSeconds, server.Usage());
                if (server.Ending is { } ending) throw new BenchmarkException(ending);
                summary.Add(new Figure
                {
                    Row = $"dead webhooks with a backlog{(probes ? ", each probed once an hour" : "")}",
                    Side = count.ToString("#,##0", CultureInfo.InvariantCulture),
                    Value = after.Since(used).CpuSeconds / seconds * 100,
                    Unit = "% of a core",
                    MoreIsBetter = false,
                    Seconds = seconds,
                    Used = after.Since(used),
                    Note = FormattableString.Invariant(
                        $"{server.Metric("grid_webhooks_active") ?? 0:0} in memory, {Attempts(server) - attempts:0} attempts; managed heap {heap / 1048576.0:0} MiB"),
                });
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        }
    }

    private static double Attempts(GridServer server) => server.Metric("grid_webhooks_attempts_total") ?? 0;

    private static async Task FillAsync(string folder, int count, bool probes, HookReceiver receiver)
    {
        await using var store = RocksDbStore.Open(folder, TimeProvider.System, NullLogger<RocksDbStore>.Instance);
        var log = new RocksDbMessageLog(store, new NamespacePolicies(MsOptions.Create(new GridOptions())));
        var webhooks = new RocksDbWebhookStore(log);
        using var keys = new GridDataProtection(new RocksDbXmlRepository(store), NullLoggerFactory.Instance, TimeProvider.System);
        var vault = new SecretVault(keys);
        WebhookId[] ids = [.. Enumerable.Range(0, count).Select(i => WebhookId.New($"t{i / PerTenant}"))];
        await EachAsync(async i =>
        {
            var secrets = new WebhookSecrets(vault, ids[i]);
            var definition = new WebhookDefinition { Url = receiver.Refusing(i / 60_000, i % 60_000).ToString(), Channels = [Channel(i)] };
            await webhooks.CreateAsync(
                new StoredWebhook
                {
                    Id = ids[i],
                    Version = 1,
                    Channels = definition.Channels,
                    Definition = new WebhookDocument { Definition = definition, CreatedAt = DateTimeOffset.UtcNow }.With(definition, secrets).ToBytes(),
                    Secrets = secrets.Protect(WebhookSecrets.Create(definition)),
                },
                PerTenant);
        });

        // The appends leave the marks. Of now: what is old retention takes, and there would be nothing to probe with.
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        var epoch = "";
        for (var i = 0; i < count; i += PerChannel)
        {
            var channel = new ChannelId(ids[i].Tenant, Channel(i));
            var head = (await log.GetHeadAsync(channel)).Position;
            epoch = head.Epoch;
            var appended = await log.AppendAsync(new AppendRequest
            {
                Channel = channel,
                ExpectedHead = head,
                Messages = [.. Enumerable.Range(1, Backlog).Select(o => new Message { Offset = o, At = now, Payload = Payload.Json(Stamp.Payload(128, 1)) })],
                KeyWindow = TimeSpan.FromMinutes(2),
            });
            if (appended.Status != AppendStatus.Appended) throw new BenchmarkException($"An append was answered {appended.Status}.");
        }

        now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        await EachAsync(async i =>
        {
            // Spread over the hour, from now on: as if each had been tried at another time.
            var probe = now + (probes ? (long)i * HourMs / count : HourMs);
            var snapshot = new WebhookSnapshot
            {
                Generation = 1,
                Window = 16,
                Circuit = new CircuitRecord(now - HourMs, probe, HourMs),
                Channels = [new ProgressRecord(Channel(i), new Position(epoch, 0), [], [new ParkedRecord(1, 1, now, null)])],
            };
            await webhooks.WriteAsync(ids[i], new WebhookWrite([], snapshot), probe);
        });

        Task EachAsync(Func<int, Task> act) => Parallel.ForEachAsync(
            Enumerable.Range(0, count), new ParallelOptions { MaxDegreeOfParallelism = Writers }, (i, _) => new ValueTask(act(i)));
    }

    private static string Channel(int index) => FormattableString.Invariant($"dead:{index / PerChannel}");
}

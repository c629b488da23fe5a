using System.Diagnostics;
using Grid.Abstractions;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Benchmarks.Servers;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Testing.Servers;
using Microsoft.Extensions.Logging.Abstractions;
using MsOptions = Microsoft.Extensions.Options.Options;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// Appends to PostgreSQL without silos, as channel grains make them, with different numbers of lanes: each lane is a connection with
/// one transaction under way. Several silos are played by several logs.
/// </summary>
internal static class StoreLanes
{
    public static void Run(Options options, Summary summary)
    {
        var (channels, batch, silos, size) = (options.Int("channels", 500), options.Int("batch", 1), options.Int("logs", 1), options.Int("size", 128));
        var (lanes, pairs, seconds) = (options.Ints("lanes", 1, 2, 4, 8), options.Int("pairs", 2), options.Seconds("seconds", 5));
        options.RefuseOthers();
        RunAsync().GetAwaiter().GetResult();

        async Task RunAsync()
        {
            await using var server = await PostgresServer.StartNewAsync(fsync: true);
            await using var database = new PostgresDatabase(
                new GridClusterOptions { Postgres = await server.CreateDatabaseAsync() }, NullLoggerFactory.Instance);
            await database.OpenAsync(CancellationToken.None);
            for (var pair = 0; pair <= pairs; pair++)
            {
                foreach (var count in lanes)
                {
                    // The first round compiles code and fills caches.
                    var figure = await MeasureAsync(server, database, count, pair == 0 ? TimeSpan.FromSeconds(2) : seconds);
                    if (pair > 0) summary.Add(figure);
                }
            }
        }

        async Task<Figure> MeasureAsync(PostgresServer server, PostgresDatabase database, int count, TimeSpan time)
        {
            var policies = new NamespacePolicies(MsOptions.Create(new GridOptions()));
            var logs = Enumerable.Range(0, silos)
                .Select(_ => new PostgresMessageLog(database, policies, TimeProvider.System, NullLogger<PostgresMessageLog>.Instance, count)).ToArray();
            var payload = Payload.Json(Stamp.Payload(size, 1));
            var (before, start) = (ProcessUsage.OfFamily(server.ProcessId), Stopwatch.GetTimestamp());
            var cpu = Environment.CpuUsage.TotalTime;
            var until = start + (long)(time.TotalSeconds * Stopwatch.Frequency);
            var latencies = new Latencies();
            var appended = await Task.WhenAll(Enumerable.Range(0, channels).Select(c => Task.Run(() => AppendAsync(logs[c % silos], c, payload, until, latencies))));
            var took = Stopwatch.GetElapsedTime(start).TotalSeconds;
            var after = ProcessUsage.OfFamily(server.ProcessId);
            var groups = logs.Sum(l => l.Groups);
            foreach (var log in logs) await log.DisposeAsync();
            return new Figure
            {
                Row = $"{channels} channels, appends of {batch}, {silos} silo{(silos == 1 ? "" : "s")}",
                Side = $"{count} lane{(count == 1 ? "" : "s")}",
                Value = appended.Sum() / took,
                Unit = "msg/s",
                Seconds = took,
                Work = appended.Sum(),
                Latency = latencies,
                Used = new ServerUsage(new PartUsage("postgres", after.CpuSeconds - before.CpuSeconds, after.Rss)),
                GeneratorCpu = (Environment.CpuUsage.TotalTime - cpu).TotalSeconds,
                Note = $"{groups / took:F0} commits/s, {appended.Sum() / Math.Max(1d, groups):F1} messages each",
            };
        }

        async Task<long> AppendAsync(PostgresMessageLog log, int number, Payload payload, long until, Latencies latencies)
        {
            var channel = new ChannelId("bench", $"lanes:{number}");
            var head = (await log.GetHeadAsync(channel)).Position;
            var appended = 0L;
            while (Stopwatch.GetTimestamp() < until)
            {
                var started = Stopwatch.GetTimestamp();
                var result = await log.AppendAsync(new AppendRequest
                {
                    Channel = channel,
                    ExpectedHead = head,
                    Messages = [.. Enumerable.Range(1, batch).Select(i => new Message { Offset = head.Offset + i, At = 1, Payload = payload })],
                    KeyWindow = TimeSpan.FromMinutes(2),
                });
                if (result.Status != AppendStatus.Appended) throw new BenchmarkException($"An append was answered {result.Status}.");
                head = result.Head;
                appended += batch;
                lock (latencies) latencies.Record(started, Stopwatch.GetTimestamp());
            }

            return appended;
        }
    }
}

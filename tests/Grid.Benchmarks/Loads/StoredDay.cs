using System.Diagnostics;
using System.Globalization;
using Grid.Abstractions;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Report;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Testing.Servers;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Npgsql;
using MsOptions = Microsoft.Extensions.Options.Options;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// A day of appends and retention in minutes: the log's clock runs ahead of PostgreSQL's. Half of the channels keep messages for an
/// hour (their rows go with partitions), half keep a number of them (their rows are deleted). What the tables take on disk must follow
/// what they hold, and not the time.
/// </summary>
/// <remarks>PostgreSQL's own cleaning runs by the real clock, once a second instead of once a minute: far less often than in a real day.</remarks>
internal static class StoredDay
{
    private const string Sizes =
        """
        select (select coalesce(sum(head - oldest + 1), 0) from grid.channels),
               pg_size_pretty(sum(pg_total_relation_size(c.oid)) filter (where c.relname ~ '^messages_')),
               pg_size_pretty(sum(pg_total_relation_size(c.oid)) filter (where c.relname ~ '^keys_')),
               pg_size_pretty(sum(pg_total_relation_size(c.oid)) filter (where c.relname = 'channels')),
               (select sum(n_dead_tup) from pg_stat_user_tables where schemaname = 'grid'),
               count(*) filter (where c.relname ~ '^messages_'), count(*) filter (where c.relname ~ '^keys_')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'grid' and c.relkind = 'r'
        """;

    public static void Run(Options options, Summary summary)
    {
        var (channels, hours, perMinute, batch) = (options.Int("channels", 500), options.Int("hours", 24), options.Int("appends", 1), options.Int("batch", 4));
        options.RefuseOthers();
        RunAsync().GetAwaiter().GetResult();

        async Task RunAsync()
        {
            await using var server = await PostgresServer.StartNewAsync(fsync: true, "autovacuum_naptime=1s");
            var connectionString = await server.CreateDatabaseAsync();
            await using var database = new PostgresDatabase(new GridClusterOptions { Postgres = connectionString }, NullLoggerFactory.Instance);
            await database.OpenAsync(CancellationToken.None);
            var settings = new GridOptions();
            settings.Namespaces["hour"] = new NamespacePolicy { MaxAge = TimeSpan.FromHours(1), IdempotencyWindow = TimeSpan.FromHours(1) };
            settings.Namespaces["last"] = new NamespacePolicy { MaxMessages = 200, MaxAge = null, IdempotencyWindow = TimeSpan.FromHours(1) };
            var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
            await using var log = new PostgresMessageLog(
                database, new NamespacePolicies(MsOptions.Create(settings)), time, NullLogger<PostgresMessageLog>.Instance);
            var retention = new PostgresRetention(log, NullLogger<PostgresRetention>.Instance);
            var payload = Payload.Json(Stamp.Payload(128, 1));
            var ids = Enumerable.Range(0, channels).Select(c => new ChannelId("bench", $"{(c % 2 == 0 ? "hour" : "last")}:{c}")).ToArray();
            var heads = (await log.GetHeadsAsync(ids)).Select(h => h.Position).ToArray();
            var (sweeps, longest, started) = (TimeSpan.Zero, TimeSpan.Zero, Stopwatch.GetTimestamp());
            Console.WriteLine("| hour | messages kept | messages on disk | keys | channels | dead rows | partitions of messages, keys | longest sweep | appended/s |");
            Console.WriteLine("|---|---|---|---|---|---|---|---|---|");
            for (var hour = 1; hour <= hours; hour++)
            {
                var hourStarted = Stopwatch.GetTimestamp();
                for (var half = 0; half < 120; half++)
                {
                    if (half % 2 == 0)
                        for (var i = 0; i < perMinute; i++) await Task.WhenAll(Enumerable.Range(0, channels).Select(AppendAsync));
                    time.Advance(TimeSpan.FromSeconds(30));
                    var sweep = Stopwatch.GetTimestamp();
                    await retention.SweepAsync(CancellationToken.None);
                    var took = Stopwatch.GetElapsedTime(sweep);
                    sweeps += took;
                    if (took > longest) longest = took;
                }

                var rate = 60L * perMinute * channels * batch / Stopwatch.GetElapsedTime(hourStarted).TotalSeconds;
                Console.WriteLine(await LineAsync(hour, longest, rate));
                longest = TimeSpan.Zero;
            }

            var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
            summary.Add(new Figure
            {
                Row = $"a day of retention, {channels} channels", Side = "grid", Value = sweeps.TotalMilliseconds / (hours * 120), Unit = "ms per sweep",
                MoreIsBetter = false, Seconds = seconds,
            });

            async Task AppendAsync(int index)
            {
                var messages = Enumerable.Range(1, batch).Select(i => new Message
                {
                    Offset = heads[index].Offset + i, At = time.GetUtcNow().ToUnixTimeMilliseconds(), Payload = payload,
                    Key = string.Create(CultureInfo.InvariantCulture, $"key-{heads[index].Offset + i}"),
                });
                var result = await log.AppendAsync(new AppendRequest
                {
                    Channel = ids[index], ExpectedHead = heads[index], Messages = [.. messages], KeyWindow = TimeSpan.FromHours(1),
                });
                if (result.Status != AppendStatus.Appended) throw new BenchmarkException($"An append was answered {result.Status}.");
                heads[index] = result.Head;
            }

            async Task<string> LineAsync(int hour, TimeSpan slowest, double rate)
            {
                await using var connection = new NpgsqlConnection(connectionString);
                await connection.OpenAsync();
                await using var command = new NpgsqlCommand(Sizes, connection);
                await using var row = await command.ExecuteReaderAsync();
                await row.ReadAsync();
                return $"| {hour} | {row.GetDecimal(0):N0} | {row.GetString(1)} | {row.GetString(2)} | {row.GetString(3)} | {row.GetDecimal(4):N0} | {row.GetInt64(5)}, {row.GetInt64(6)} | {slowest.TotalMilliseconds:F0} ms | {rate:N0} |";
            }
        }
    }
}

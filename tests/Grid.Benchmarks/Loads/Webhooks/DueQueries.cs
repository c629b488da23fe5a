using System.Diagnostics;
using Grid.Benchmarks.Report;
using Grid.Protocol;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Log.Postgres;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Store;
using Grid.Server.Webhooks.Store.Postgres;
using Grid.Server.Webhooks.Store.RocksDb;
using Grid.Testing.Servers;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using MsOptions = Microsoft.Extensions.Options.Options;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>
/// How long the sweep's look for due subscriptions takes, in both stores, among many of which each has a mark: nearly all circuits are
/// open for another hour; none is open and none has anything to do; all are due.
/// </summary>
internal static class DueQueries
{
    private const int PerTenant = 10_000;
    private const int Page = 256;
    private const int Writers = 256;

    /// <summary>The verb <c>webhooks-due</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        var (count, runs) = (options.Int("subscriptions", 100_000), options.Int("pairs", 5));
        options.RefuseOthers();
        RunAsync().GetAwaiter().GetResult();

        async Task RunAsync()
        {
            await using (var embedded = new Embedded())
            {
                await MeasureAsync("rocksdb", embedded.Store, embedded.FillAsync);
            }

            await using var server = await PostgresServer.StartNewAsync(fsync: false);
            await using var database = new PostgresDatabase(
                new GridClusterOptions { Postgres = await server.CreateDatabaseAsync() }, NullLoggerFactory.Instance);
            await database.OpenAsync(CancellationToken.None);
            await MeasureAsync("postgres", new PostgresWebhookStore(database), ids => FillAsync(database.Source, ids));
        }

        async Task MeasureAsync(string side, IWebhookStore store, Func<WebhookId[], Task> fill)
        {
            var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
            WebhookId[] ids = [.. Enumerable.Range(0, count).Select(i => WebhookId.New($"t{i / PerTenant}"))];
            var watch = Stopwatch.StartNew();
            await fill(ids);
            Console.WriteLine(FormattableString.Invariant($"{side}: {count} subscriptions stored in {watch.Elapsed.TotalSeconds:0.0} s"));
            int[] shards = [.. Enumerable.Range(0, WebhookId.Shards)];
            int[] third = [.. shards.Where(s => s % 3 == 0)];
            for (var run = 0; run <= runs; run++)
            {
                await TakeAsync("circuits open: nothing is due", shards, now, run);
                await TakeAsync("the same, a third of the shards", third, now, run);
                await TakeAsync("all are due: a page of 256", shards, now + (3 * 3_600_000), run);
            }

            async Task TakeAsync(string what, int[] which, long at, int run)
            {
                var start = Stopwatch.GetTimestamp();
                var found = await store.FindDueAsync(which, at, null, Page);
                var took = Stopwatch.GetElapsedTime(start).TotalMilliseconds;

                // The first run fills caches and compiles.
                if (run == 0) return;
                summary.Add(new Figure
                {
                    Row = $"due among {count} webhooks, {what}", Side = side, Value = took, Unit = "ms", MoreIsBetter = false, Note = $"{found.Count} found",
                });
            }
        }
    }

    private static WebhookSnapshot Snapshot(long now) => new()
    {
        Generation = 1,
        Window = 16,
        Circuit = new CircuitRecord(now - 60_000, now + 3_600_000, 3_600_000),
        Channels = [new ProgressRecord("orders", new Position("abcdefghijklmnop", 5), [], [new ParkedRecord(6, 1, now + 3_600_000, null)])],
    };

    private static StoredWebhook Webhook(WebhookId id) => new()
    {
        Id = id, Version = 1, Channels = ["orders"], Definition = new byte[300], Secrets = new byte[120],
    };

    /// <summary>By the database itself, which knows no faster way.</summary>
    private static async Task FillAsync(NpgsqlDataSource source, WebhookId[] ids)
    {
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        var header = SnapshotRecord.ToBytes(Snapshot(now) with { Channels = [] });
        await using var connection = await source.OpenConnectionAsync();
        foreach (var sql in (string[])
        [
            "insert into webhooks (tenant, id, version, channels, definition, secrets) select t, i, 1, '{orders}', decode(repeat('00', 300), 'hex'), decode(repeat('00', 120), 'hex') from unnest($1, $2, $3) r(t, i, s)",
            "insert into webhook_progress (tenant, id, shard) select t, i, s from unnest($1, $2, $3) r(t, i, s)",
            "insert into webhook_patterns (tenant, pattern, id) select t, 'orders', i from unnest($1, $2, $3) r(t, i, s)",
            "insert into webhook_marks (tenant, id, channel, epoch, place) select t, i, 'orders', 'abcdefghijklmnop', 5 from unnest($1, $2, $3) r(t, i, s)",
        ])
        {
            await using var command = new NpgsqlCommand(sql, connection);
            command.Parameters.Add(new NpgsqlParameter { Value = ids.Select(i => i.Tenant).ToArray() });
            command.Parameters.Add(new NpgsqlParameter { Value = ids.Select(i => i.Id).ToArray() });
            command.Parameters.Add(new NpgsqlParameter { Value = ids.Select(i => i.Shard).ToArray() });
            await command.ExecuteNonQueryAsync();
        }

        // As a write of progress does it: an update.
        await using var update = new NpgsqlCommand(
            "update webhook_progress set generation = 1, not_before = $1, wake = $1, header = $2", connection);
        update.Parameters.Add(new NpgsqlParameter { Value = now + 3_600_000 });
        update.Parameters.Add(new NpgsqlParameter { Value = header });
        await update.ExecuteNonQueryAsync();
        await using var vacuum = new NpgsqlCommand("vacuum analyze", connection);
        await vacuum.ExecuteNonQueryAsync();
    }

    private sealed class Embedded : IAsyncDisposable
    {
        private readonly string _folder = Directory.CreateTempSubdirectory("grid-bench-").FullName;
        private readonly RocksDbStore _store;

        public Embedded()
        {
            _store = RocksDbStore.Open(_folder, TimeProvider.System, NullLogger<RocksDbStore>.Instance);
            Store = new RocksDbWebhookStore(new RocksDbMessageLog(_store, new NamespacePolicies(MsOptions.Create(new GridOptions()))));
        }

        public RocksDbWebhookStore Store { get; }

        public async Task FillAsync(WebhookId[] ids)
        {
            var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
            await Parallel.ForEachAsync(ids, new ParallelOptions { MaxDegreeOfParallelism = Writers }, async (id, stop) =>
            {
                await Store.CreateAsync(Webhook(id), int.MaxValue, stop);
                await Store.WriteAsync(id, new WebhookWrite([], Snapshot(now)), now + 3_600_000, stop);
            });
        }

        public async ValueTask DisposeAsync()
        {
            await _store.DisposeAsync();
            Directory.Delete(_folder, recursive: true);
        }
    }
}

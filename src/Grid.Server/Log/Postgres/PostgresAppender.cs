using System.Text;
using Grid.Protocol;
using Grid.Server.Hosting;
using Npgsql;
using NpgsqlTypes;

namespace Grid.Server.Log.Postgres;

/// <summary>
/// One connection that appends: groups of appends of different channels, each group one call of the function <c>append_and_mark</c>, one round
/// trip and one transaction. Not for use by several at once.
/// </summary>
internal sealed class PostgresAppender(NpgsqlDataSource source, NamespacePolicies policies) : IAsyncDisposable
{
    private readonly Column<string> _names = new(NpgsqlDbType.Text);
    private readonly Column<string> _epochs = new(NpgsqlDbType.Text);
    private readonly Column<long> _heads = new(NpgsqlDbType.Bigint);
    private readonly Column<int> _counts = new(NpgsqlDbType.Integer);
    private readonly Column<long> _bytes = new(NpgsqlDbType.Bigint);
    private readonly Column<long> _ats = new(NpgsqlDbType.Bigint);
    private readonly Column<int> _buckets = new(NpgsqlDbType.Integer);
    private readonly NpgsqlParameter<bool> _fresh = new() { NpgsqlDbType = NpgsqlDbType.Boolean };
    private readonly Column<int> _runAppends = new(NpgsqlDbType.Integer);
    private readonly Column<long> _runLasts = new(NpgsqlDbType.Bigint);
    private readonly Column<int> _runCounts = new(NpgsqlDbType.Integer);
    private readonly Column<long> _runTotals = new(NpgsqlDbType.Bigint);
    private readonly Column<long> _runAts = new(NpgsqlDbType.Bigint);
    private readonly Column<ReadOnlyMemory<byte>> _runBodies = new(NpgsqlDbType.Bytea);
    private readonly Column<int> _keyAppends = new(NpgsqlDbType.Integer);
    private readonly Column<long> _keyOffsets = new(NpgsqlDbType.Bigint);
    private readonly Column<byte[]> _keys = new(NpgsqlDbType.Bytea);
    private readonly Column<int> _keyBuckets = new(NpgsqlDbType.Integer);
    private readonly Column<long> _keyExpires = new(NpgsqlDbType.Bigint);
    private readonly NpgsqlParameter<long> _now = new() { NpgsqlDbType = NpgsqlDbType.Bigint };

    private NpgsqlConnection? _connection;
    private NpgsqlCommand? _command;
    private CommitWatch? _watch;

    /// <summary>Appends a group and returns the answers, in its order.</summary>
    /// <param name="group">Appends of different channels.</param>
    /// <param name="answers">Cleared and filled.</param>
    /// <param name="now">The time, in Unix milliseconds.</param>
    /// <exception cref="StandbyException">It is stored, and a synchronous standby may lack it.</exception>
    public async Task AppendAsync(IReadOnlyList<PostgresAppend> group, List<AppendResult> answers, long now)
    {
        Fill(group, now);
        answers.Clear();
        var command = await CommandAsync();
        foreach (var append in group) answers.Add(AppendResult.Appended(append.NewHead));
        await using (var rows = await command.ExecuteReaderAsync())
        {
            while (await rows.ReadAsync())
            {
                var index = rows.GetInt32(0) - 1;
                if (!await rows.IsDBNullAsync(5))
                {
                    answers[index] = answers[index] with { Woken = rows.GetFieldValue<string[]>(5) };
                    continue;
                }

                var head = new Position(rows.GetString(1), rows.GetInt64(2));
                answers[index] = await rows.IsDBNullAsync(3)
                    ? AppendResult.HeadMoved(head)
                    : AppendResult.KeysSeen(head, Seen(head, rows.GetFieldValue<long[]>(3), rows.GetFieldValue<long[]>(4)));
            }

            // The commit comes after the last row. What goes wrong in it is thrown here; disposing does not have to.
            await rows.NextResultAsync();
        }

        _watch!.Verify();
    }

    /// <summary>Makes the partitions that a group needs.</summary>
    public async Task MakePartitionsAsync()
    {
        foreach (var (table, buckets) in new[] { ("messages", _buckets), ("keys", _keyBuckets) })
        {
            foreach (var bucket in buckets.Values.Distinct())
            {
                await using var command = source.CreateCommand("select make_partition($1, $2)");
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = table });
                command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = bucket });
                await command.ExecuteNonQueryAsync();
            }
        }
    }

    /// <summary>Lets go of the connection, which may be broken; the next append takes another.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_command is { } command)
        {
            _command = null;
            command.Parameters.Clear();
            await command.DisposeAsync();
        }

        if (_connection is { } connection)
        {
            _connection = null;
            await connection.DisposeAsync();
        }
    }

    private static List<SeenKey> Seen(Position head, long[] offsets, long[] first)
    {
        var seen = new List<SeenKey>(offsets.Length);
        for (var i = 0; i < offsets.Length; i++) seen.Add(new SeenKey((int)(offsets[i] - head.Offset - 1), first[i]));
        return seen;
    }

    private async ValueTask<NpgsqlCommand> CommandAsync()
    {
        if (_command is not null) return _command;
        _connection = await source.OpenConnectionAsync();
        _watch = new CommitWatch(_connection);
        var command = new NpgsqlCommand(
            "select * from append_and_mark($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)", _connection);
        foreach (var parameter in (NpgsqlParameter[])[
            _names.Parameter, _epochs.Parameter, _heads.Parameter, _counts.Parameter, _bytes.Parameter, _ats.Parameter, _buckets.Parameter,
            _fresh, _runAppends.Parameter, _runLasts.Parameter, _runCounts.Parameter, _runTotals.Parameter, _runAts.Parameter,
            _runBodies.Parameter, _keyAppends.Parameter, _keyOffsets.Parameter, _keys.Parameter, _keyBuckets.Parameter,
            _keyExpires.Parameter, _now])
            command.Parameters.Add(parameter);
        _command = command;
        await command.PrepareAsync();
        return command;
    }

    private void Fill(IReadOnlyList<PostgresAppend> group, long now)
    {
        Clear();
        _now.TypedValue = now;
        _fresh.TypedValue = false;
        for (var i = 0; i < group.Count; i++)
        {
            var append = group[i];
            var request = append.Request;
            var policy = policies.For(request.Channel.Name);
            var window = request.KeyWindow;
            _names.Values.Add(append.Name);
            _epochs.Values.Add(request.ExpectedHead.Epoch);
            _heads.Values.Add(request.ExpectedHead.Offset);
            _counts.Values.Add(request.Messages.Count);
            _bytes.Values.Add(append.PayloadBytes);
            _ats.Values.Add(append.Runs[0].At);
            _buckets.Values.Add(PostgresBuckets.OfMessages(now, policy));
            _fresh.TypedValue |= request.ExpectedHead.Offset == 0;
            foreach (var run in append.Runs)
            {
                _runAppends.Values.Add(i + 1);
                _runLasts.Values.Add(run.Last);
                _runCounts.Values.Add(run.Count);
                _runTotals.Values.Add(run.Total);
                _runAts.Values.Add(run.At);
                _runBodies.Values.Add(append.Body(run));
            }

            _keyBuckets.Values.Add(window > TimeSpan.Zero ? PostgresBuckets.OfKeys(now, window) : 0);
            _keyExpires.Values.Add(window > TimeSpan.Zero ? now + (long)window.TotalMilliseconds : 0);
            if (window > TimeSpan.Zero) AddKeys(request, i + 1);
        }
    }

    private void AddKeys(AppendRequest request, int append)
    {
        for (var i = 0; i < request.Messages.Count; i++)
        {
            if (request.Messages[i].Key is not { } key) continue;
            _keyAppends.Values.Add(append);
            _keyOffsets.Values.Add(request.Messages[i].Offset);
            _keys.Values.Add(Encoding.UTF8.GetBytes(key));
        }
    }

    private void Clear()
    {
        _names.Values.Clear();
        _epochs.Values.Clear();
        _heads.Values.Clear();
        _counts.Values.Clear();
        _bytes.Values.Clear();
        _ats.Values.Clear();
        _buckets.Values.Clear();
        _runAppends.Values.Clear();
        _runLasts.Values.Clear();
        _runCounts.Values.Clear();
        _runTotals.Values.Clear();
        _runAts.Values.Clear();
        _runBodies.Values.Clear();
        _keyAppends.Values.Clear();
        _keyOffsets.Values.Clear();
        _keys.Values.Clear();
        _keyBuckets.Values.Clear();
        _keyExpires.Values.Clear();
    }

    /// <summary>An array parameter whose list is filled anew for each group.</summary>
    private sealed class Column<T>
    {
        public Column(NpgsqlDbType type) => Parameter = new NpgsqlParameter<List<T>>
        {
            NpgsqlDbType = NpgsqlDbType.Array | type,
            TypedValue = Values,
        };

        public List<T> Values { get; } = [];

        public NpgsqlParameter<List<T>> Parameter { get; }
    }
}

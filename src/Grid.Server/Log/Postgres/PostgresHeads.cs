using Grid.Abstractions;
using Npgsql;

namespace Grid.Server.Log.Postgres;

/// <summary>
/// Asks how far channels reach. What is asked while all statements are on their way waits, and goes together in the next one: after a
/// crash a silo wakes thousands of channels at once, and each asking by itself would take all connections from everybody else.
/// </summary>
/// <remarks>A question never joins a statement that was sent before it came: the answer is not older than the question.</remarks>
internal sealed class PostgresHeads(PostgresDatabase database)
{
    /// <summary>Statements at once: while one waits for the network, another's rows are read.</summary>
    public const int MaxStatements = 2;

    /// <summary>After so many channels a statement takes no further question.</summary>
    private const int FullStatement = 1000;

    private readonly Lock _gate = new();
    private readonly Queue<Question> _waiting = new();
    private long _statements;
    private int _running;

    /// <summary>Statements sent so far.</summary>
    public long Statements => Interlocked.Read(ref _statements);

    /// <summary>Tells how far channels reach, in the order asked.</summary>
    /// <exception cref="LogUnavailableException">The database is away.</exception>
    public async ValueTask<ChannelEnd[]> AskAsync(IReadOnlyList<ChannelId> channels, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var question = new Question(channels, new ChannelEnd[channels.Count]);
        lock (_gate)
        {
            _waiting.Enqueue(question);
            if (_running < MaxStatements)
            {
                _running++;

                // Not on the scheduler of the grain that happens to ask first: the others would take turns with it.
                _ = Task.Run(RunAsync, CancellationToken.None);
            }
        }

        await question.Done.Task.WaitAsync(cancellationToken);
        return question.Ends;
    }

    private async Task RunAsync()
    {
        var asked = new List<Question>();
        while (Take(asked))
        {
            try
            {
                Interlocked.Increment(ref _statements);
                await database.ReadAsync(asked, static (asked, source, cancellation) => AskAsync(asked, source, cancellation), CancellationToken.None);
                foreach (var question in asked) question.Done.SetResult();
            }
            catch (Exception e)
            {
                foreach (var question in asked) question.Done.SetException(e);
            }
        }
    }

    /// <summary>What the next statement asks; false: nothing, and the caller has to end.</summary>
    private bool Take(List<Question> asked)
    {
        asked.Clear();
        lock (_gate)
        {
            for (var channels = 0; channels < FullStatement && _waiting.TryDequeue(out var next); channels += next.Channels.Count) asked.Add(next);
            if (asked.Count > 0) return true;
            _running--;
            return false;
        }
    }

    private static async Task<int> AskAsync(List<Question> asked, NpgsqlDataSource source, CancellationToken cancellationToken)
    {
        string[] names = [.. asked.SelectMany(q => q.Channels).Select(c => c.ToString())];
        await using var command = source.CreateCommand("select o_index, o_epoch, o_oldest, o_head, o_last_at from heads($1)");
        command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = names });
        var ends = new ChannelEnd[names.Length];
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        while (await rows.ReadAsync(cancellationToken))
            ends[rows.GetInt32(0) - 1] = new ChannelEnd(new ChannelHead(rows.GetString(1), rows.GetInt64(2), rows.GetInt64(3)), rows.GetInt64(4));
        var start = 0;
        foreach (var question in asked)
        {
            ends.AsSpan(start, question.Ends.Length).CopyTo(question.Ends);
            start += question.Ends.Length;
        }

        return names.Length;
    }

    private sealed record Question(IReadOnlyList<ChannelId> Channels, ChannelEnd[] Ends)
    {
        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

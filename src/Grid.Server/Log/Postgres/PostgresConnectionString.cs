using Grid.Server.Hosting;
using Npgsql;

namespace Grid.Server.Log.Postgres;

/// <summary>Makes of the operator's connection string the one that is used.</summary>
internal static class PostgresConnectionString
{
    /// <summary>The schema that all of Grid's tables live in, Orleans' among them.</summary>
    public const string Schema = "grid";

    /// <summary>A database that does not answer for this long, in seconds, is away. Unless the connection string says otherwise.</summary>
    private const int AnswerSeconds = 4;

    /// <summary>How long making a connection may take, in seconds, unless the connection string says otherwise.</summary>
    private const int ConnectSeconds = 4;

    /// <summary>The most connections of one silo's log, unless the connection string says otherwise; PostgreSQL allows 100 by default.</summary>
    private const int PoolSize = 20;

    /// <summary>
    /// The fewest that the log works with: those that append are kept, those that ask for heads come in bursts, the sweep of retention
    /// has one for minutes, and one has to be left for reads.
    /// </summary>
    private const int LeastPoolSize = PostgresMessageLog.DefaultLanes + PostgresHeads.MaxStatements + 2;

    /// <summary>
    /// The connection string for the log. What the operator gave stands, but for the search path and for
    /// <c>synchronous_commit</c>: an append is answered when it is synced, whatever the database's default is.
    /// </summary>
    /// <exception cref="GridStartupException">It is no connection string, or allows too few connections.</exception>
    public static string ForLog(string given) => Build(given, b =>
    {
        if (!b.Given("Maximum Pool Size")) b.Builder.MaxPoolSize = Math.Max(b.Builder.MinPoolSize, PoolSize);
        if (!b.Builder.Pooling) return;
        if (b.Builder.MaxPoolSize < LeastPoolSize)
        {
            throw new GridStartupException(
                $"The connection string of PostgreSQL has 'Maximum Pool Size={b.Builder.MaxPoolSize}', with which a silo would wait for its "
                + $"own connections. Make it {LeastPoolSize} or more, or leave it out: {PoolSize} is the default.");
        }

        if (b.Builder.MaxPoolSize < b.Builder.MinPoolSize)
        {
            throw new GridStartupException(
                $"The connection string of PostgreSQL has 'Minimum Pool Size={b.Builder.MinPoolSize}', which is more than its "
                + $"'Maximum Pool Size={b.Builder.MaxPoolSize}'.");
        }
    });

    /// <summary>
    /// The connection string for Orleans' grain storage, with a small pool of its own. Orleans does not look for the warning that
    /// <see cref="CommitWatch"/> looks for, so what follows a cancelled command is not read at all: its connection ends with an error.
    /// </summary>
    /// <exception cref="GridStartupException">It is no connection string.</exception>
    public static string ForStorage(string given) => ForOrleans(given, "storage", PoolSize / 4, b => b.CancellationTimeout = -1);

    /// <summary>
    /// The connection string for Orleans' membership. Its pool is its own and small: a burst of reads that takes all connections of
    /// others must not keep a silo from saying that it is alive.
    /// </summary>
    /// <exception cref="GridStartupException">It is no connection string.</exception>
    public static string ForMembership(string given) => ForOrleans(given, "membership", 3);

    private static string ForOrleans(string given, string use, int connections, Action<NpgsqlConnectionStringBuilder>? adapt = null) => Build(given, b =>
    {
        adapt?.Invoke(b.Builder);
        b.Builder.ApplicationName += $" ({use})";
        b.Builder.MaxPoolSize = Math.Max(b.Builder.MinPoolSize, connections);
    });

    /// <summary>Where the database is, without user or password: <c>PostgreSQL grid at db.example:5432</c>.</summary>
    public static string Describe(string given)
    {
        var builder = Parse(given).Builder;
        var database = builder.Database ?? builder.Username ?? "postgres";
        var host = builder.Host ?? "localhost";
        return host.Contains(',', StringComparison.Ordinal) || host.StartsWith('/')
            ? $"PostgreSQL {database} at {host}"
            : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"PostgreSQL {database} at {host}:{builder.Port}");
    }

    private static string Build(string given, Action<Parsed> adapt)
    {
        var parsed = Parse(given);
        var builder = parsed.Builder;
        builder.SearchPath = Schema;
        if (!parsed.Given("Application Name")) builder.ApplicationName = "grid";
        if (!parsed.Given("Command Timeout")) builder.CommandTimeout = AnswerSeconds;
        if (!parsed.Given("Timeout")) builder.Timeout = ConnectSeconds;
        if (!parsed.Given("Cancellation Timeout")) builder.CancellationTimeout = 500;

        // A server that vanished without a word is noticed on idle connections too.
        builder.TcpKeepAlive = true;
        if (!parsed.Given("Tcp Keepalive Time")) builder.TcpKeepAliveTime = 10;
        if (!parsed.Given("Tcp Keepalive Interval")) builder.TcpKeepAliveInterval = 3;

        // Nothing here changes a session's settings, so there is nothing to reset when a connection goes back to the pool.
        builder.NoResetOnClose = true;
        if (!parsed.Given("Max Auto Prepare")) builder.MaxAutoPrepare = 50;
        builder.AutoPrepareMinUsages = 2;

        // Of several hosts the one that can write.
        if (builder.Host?.Contains(',', StringComparison.Ordinal) == true && !parsed.Given("Target Session Attributes"))
            builder.TargetSessionAttributes = "primary";

        // A commit that a synchronous standby did not confirm is told by a warning (CommitWatch), whatever a role's settings silence.
        builder.Options = $"{builder.Options} -c synchronous_commit=on -c client_min_messages=warning".TrimStart();
        adapt(parsed);
        return builder.ConnectionString;
    }

    private static Parsed Parse(string given)
    {
        try
        {
            return new Parsed(new NpgsqlConnectionStringBuilder(given));
        }
        catch (Exception e) when (e is ArgumentException or FormatException or KeyNotFoundException)
        {
            // The message of the cause may show a part of the string, and with it a password.
            throw new GridStartupException(
                "The connection string of PostgreSQL cannot be read. It is like 'Host=db.example;Username=grid;Password=…;Database=grid'.");
        }
    }

    private readonly struct Parsed(NpgsqlConnectionStringBuilder builder)
    {
        private readonly HashSet<string> _given = new(builder.Keys.Cast<string>(), StringComparer.OrdinalIgnoreCase);

        public NpgsqlConnectionStringBuilder Builder { get; } = builder;

        /// <summary>Whether the operator gave a setting, by its full name.</summary>
        public bool Given(string name) => _given.Contains(name);
    }
}

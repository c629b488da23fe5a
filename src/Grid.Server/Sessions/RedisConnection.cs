using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;

namespace Grid.Server.Sessions;

/// <summary>
/// This process's one connection to Redis, shared by grain storage, index and watch. It is made when it is first asked for, and comes
/// back by itself. While Redis is away commands fail at once, and while it does not answer they fail after <see cref="Timeout"/>.
/// </summary>
internal sealed partial class RedisConnection(
    ConfigurationOptions options, RedisKeys keys, TimeProvider time, ILogger<RedisConnection> logger) : IGridStorePart, IDisposable
{
    /// <summary>How long a connect, or a command's answer, may take unless the connection string says otherwise.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan StartPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan SayAgainAfter = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How long a start has one multiplexer try. A multiplexer tells why it has no connection once, and maybe to nobody: a refused password
    /// would then be waited for as if Redis were not up.
    /// </summary>
    private static readonly TimeSpan TryAnewAfter = TimeSpan.FromSeconds(2);

    private readonly SemaphoreSlim _gate = new(1);
    private ConnectionMultiplexer? _multiplexer;
    private ConnectionFailureType _failure;
    private int _returns;

    /// <summary>How long a start waits for a Redis that is not up yet: as long as for the database.</summary>
    public TimeSpan StartPatience { get; set; } = TimeSpan.FromSeconds(60);

    /// <inheritdoc/>
    public string Name => "redis";

    /// <inheritdoc/>
    public string Description => $"Redis at {Servers}";

    /// <summary>How often Redis came back after having been away.</summary>
    public int Returns => Volatile.Read(ref _returns);

    private string Servers => string.Join(", ", options.EndPoints.Select(e => e switch
    {
        DnsEndPoint dns => $"{dns.Host}:{dns.Port}",
        _ => e.ToString(),
    }));

    /// <summary>Reads a connection string.</summary>
    /// <exception cref="GridStartupException">It is none; the message does not repeat it, since it may hold a password.</exception>
    public static ConfigurationOptions Parse(string connectionString)
    {
        if (connectionString.Contains("://", StringComparison.Ordinal))
            throw new GridStartupException("ConnectionStrings__Redis is a URL. Write it as host:port, then options: redis.example:6379,password=…,ssl=true");
        ConfigurationOptions options;
        try
        {
            options = ConfigurationOptions.Parse(connectionString);
        }
        catch (Exception e) when (e is ArgumentException or FormatException or OverflowException)
        {
            throw new GridStartupException(
                "ConnectionStrings__Redis cannot be read. Write it as host:port, then options: redis.example:6379,password=…,ssl=true", e);
        }

        if (options.EndPoints.Count == 0) throw new GridStartupException("ConnectionStrings__Redis names no server. Write it as host:port.");
        options.SetDefaultPorts();
        options.AbortOnConnectFail = false;
        options.BacklogPolicy = BacklogPolicy.FailFast;
        options.ReconnectRetryPolicy = new LinearRetry(500);
        options.ClientName ??= $"grid-{Environment.MachineName}-{Environment.ProcessId}".Replace(' ', '-');
        var milliseconds = (int)Timeout.TotalMilliseconds;
        if (!Names("connectTimeout")) options.ConnectTimeout = milliseconds;
        if (!Names("syncTimeout")) options.SyncTimeout = milliseconds;
        if (!Names("asyncTimeout")) options.AsyncTimeout = milliseconds;
        return options;

        bool Names(string option) => connectionString.Contains(option + "=", StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>The connection; made by the first call.</summary>
    /// <exception cref="GridStartupException">Redis could not be reached by the first call.</exception>
    public async Task<IConnectionMultiplexer> GetAsync(CancellationToken cancellationToken = default)
    {
        if (Volatile.Read(ref _multiplexer) is { } made) return made;
        await _gate.WaitAsync(cancellationToken);
        try
        {
            if (_multiplexer is { } meanwhile) return meanwhile;
            var multiplexer = await ConnectAsync(cancellationToken);
            multiplexer.ConnectionRestored += (_, _) => Interlocked.Increment(ref _returns);
            Volatile.Write(ref _multiplexer, multiplexer);
            return multiplexer;
        }
        finally
        {
            _gate.Release();
        }
    }

    /// <summary>Runs a script: one round trip, and nothing else happens in Redis meanwhile.</summary>
    /// <exception cref="LogUnavailableException">Redis is out of reach; the outcome is unknown.</exception>
    public async Task<RedisResult> RunAsync(string script, RedisKey[] scriptKeys, RedisValue[] values, CancellationToken cancellationToken)
    {
        try
        {
            var redis = await GetAsync(cancellationToken);
            return await redis.GetDatabase().ScriptEvaluateAsync(script, scriptKeys, values).WaitAsync(cancellationToken);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            // Of any type: a command on a connection that is just ending can fail inside of its buffers.
            throw new LogUnavailableException($"Redis at {Servers} is out of reach.", e);
        }
    }

    /// <inheritdoc/>
    public Task OpenAsync(CancellationToken cancellationToken) => GetAsync(cancellationToken);

    /// <summary>A write is asked for: a replica, or a Redis whose memory or disk is full, still reads.</summary>
    public async ValueTask<bool> IsUsableAsync(CancellationToken cancellationToken)
    {
        var redis = await GetAsync(cancellationToken);
        return await redis.GetDatabase().StringSetAsync(keys.Probe, 1, TimeSpan.FromMinutes(1)).WaitAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _multiplexer?.Dispose();
        _gate.Dispose();
    }

    private async Task<ConnectionMultiplexer> ConnectAsync(CancellationToken cancellationToken)
    {
        var started = time.GetTimestamp();
        long? said = null;
        var (multiplexer, begun) = (await BeginAsync(), started);
        while (true)
        {
            try
            {
                await multiplexer.GetDatabase().PingAsync().WaitAsync(cancellationToken);
                return multiplexer;
            }
            catch (Exception e)
            {
                var refused = _failure == ConnectionFailureType.AuthenticationFailure || IsRefusal(e);
                if (refused || cancellationToken.IsCancellationRequested || time.GetElapsedTime(started) > StartPatience)
                {
                    await multiplexer.DisposeAsync();
                    cancellationToken.ThrowIfCancellationRequested();
                    throw Explain(e, refused);
                }

                if (said is null || time.GetElapsedTime(said.Value) >= SayAgainAfter)
                {
                    LogWaiting(Servers, Why(e));
                    said = time.GetTimestamp();
                }
            }

            if (time.GetElapsedTime(begun) >= TryAnewAfter)
            {
                await multiplexer.DisposeAsync();
                (multiplexer, begun) = (await BeginAsync(), time.GetTimestamp());
                continue;
            }

            await Task.Delay(StartPause, time, cancellationToken);
        }
    }

    private async Task<ConnectionMultiplexer> BeginAsync()
    {
        var multiplexer = await ConnectionMultiplexer.ConnectAsync(options);
        multiplexer.ConnectionFailed += (_, e) =>
        {
            // The end of a former one says nothing about Redis.
            if (e.FailureType != ConnectionFailureType.ConnectionDisposed) _failure = e.FailureType;
        };
        return multiplexer;
    }

    private GridStartupException Explain(Exception e, bool refused)
    {
        var why = refused ? "it refuses the user or password of ConnectionStrings__Redis, or wants one"
            : string.Create(CultureInfo.InvariantCulture, $"it was waited for, for {StartPatience.TotalSeconds:0} s: {Why(e)}");
        return new GridStartupException($"Redis at {Servers} cannot be used: {why}. Check that it runs, and the setting ConnectionStrings__Redis.", e)
        {
            MayPass = !refused,
        };
    }

    private string Why(Exception e) =>
        _failure == ConnectionFailureType.ProtocolFailure ? "what answers there is no Redis"
        : e.GetBaseException() is SocketException or RedisServerException ? e.GetBaseException().Message
        : "there is no answer";

    private static bool IsRefusal(Exception? e)
    {
        for (; e is not null; e = e.InnerException)
        {
            if (e is RedisConnectionException { FailureType: ConnectionFailureType.AuthenticationFailure }) return true;
            if (e is RedisServerException && (e.Message.StartsWith("NOAUTH", StringComparison.Ordinal)
                || e.Message.StartsWith("WRONGPASS", StringComparison.Ordinal) || e.Message.StartsWith("NOPERM", StringComparison.Ordinal))) return true;
        }

        return false;
    }

    [LoggerMessage(LogLevel.Warning, "Waiting for Redis at {Servers}: {Reason}")]
    private partial void LogWaiting(string servers, string reason);
}

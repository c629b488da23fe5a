using Grid.Server.Hosting;
using Grid.Server.Sessions;
using Grid.Testing.Servers;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using StackExchange.Redis;

namespace Grid.ClusterTests.Sessions;

/// <summary>The session parts of one silo on a Redis, without the silo.</summary>
internal sealed class RedisParts : IDisposable
{
    public RedisParts(string connectionString, string cluster = "test", TimeSpan? window = null)
    {
        Keys = new RedisKeys(Options.Create(new ClusterOptions { ServiceId = "grid", ClusterId = cluster }));
        Connection = new RedisConnection(RedisConnection.Parse(connectionString), Keys, TimeProvider.System, NullLogger<RedisConnection>.Instance);
        Index = new RedisSessionIndex(Connection, Keys, Options.Create(new GridOptions { ResumeWindow = window ?? TimeSpan.FromMinutes(5) }));
        Loss = new RedisSessionLoss(Connection, Keys);
    }

    public RedisParts(RedisServer server, string cluster = "test")
        : this(server.ConnectionString, cluster)
    {
    }

    public RedisKeys Keys { get; }

    public RedisConnection Connection { get; }

    public RedisSessionIndex Index { get; }

    public RedisSessionLoss Loss { get; }

    public async Task<IDatabase> DatabaseAsync() => (await Connection.GetAsync()).GetDatabase();

    public void Dispose() => Connection.Dispose();
}

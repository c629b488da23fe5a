using Grid.Testing;
using Grid.Testing.Hosting;
using Npgsql;

namespace Grid.ClusterTests.Stores;

/// <summary>A real host that is asked to stop while it waits for a store ends at once, and in order.</summary>
public sealed class CalledOffStartTests(PostgresFixture fixture) : IClassFixture<PostgresFixture>
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task While_postgres_is_away(bool interrupt)
    {
        await using var host = Host($"Host=127.0.0.1;Port={FreePort.Next()};Database=grid;Username=grid");
        await host.LaunchAsync();
        await SaysAsync(host, "PostgreSQL is not reachable");
        if (interrupt) host.Interrupt();
        else host.Terminate();
        await EndsAsync(host);
    }

    [Fact]
    public async Task While_redis_is_away()
    {
        await using var host = Host(await fixture.Server.CreateDatabaseAsync());
        await host.LaunchAsync();
        await SaysAsync(host, "Waiting for Redis");
        host.Terminate();
        await EndsAsync(host);
    }

    [Fact]
    public async Task While_another_silo_makes_the_schema()
    {
        var database = await fixture.Server.CreateDatabaseAsync();
        await using var other = new NpgsqlConnection(database + ";Pooling=false");
        await other.OpenAsync();

        // The lock of migrations.
        await using (var take = new NpgsqlCommand("select pg_advisory_lock(x'67726964'::bigint)", other)) await take.ExecuteNonQueryAsync();
        await using var host = Host(database);
        await host.LaunchAsync();
        using (var deadline = TestDeadline.In(60))
        {
            await deadline.UntilAsync(
                async () => await fixture.Server.ExecuteAsync("select count(*) from pg_locks where locktype = 'advisory' and not granted") is 1L,
                () => $"the host waits for the lock\n{host.Output.Tail()}");
        }

        host.Terminate();
        await EndsAsync(host);
    }

    private static HostProcess Host(string postgres) => new(
    [
        new("ConnectionStrings__Postgres", postgres), new("ConnectionStrings__Redis", $"127.0.0.1:{FreePort.Next()}"),
    ]);

    private static async Task SaysAsync(HostProcess host, string text) =>
        await host.Output.WaitAsync(line => line.Contains(text, StringComparison.Ordinal), TimeSpan.FromSeconds(60));

    private static async Task EndsAsync(HostProcess host)
    {
        Assert.Equal(0, await host.ExitAsync());
        Assert.Single(host.Output.Lines, line => line.Contains("asked to stop before it was up", StringComparison.Ordinal));
        Assert.Empty(host.Output.Errors);
        Assert.False(host.Output.Lines.Any(l => l.Contains("   at ", StringComparison.Ordinal)), $"a stack trace is no message\n{host.Output.Tail()}");
    }
}

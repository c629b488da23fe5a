using Grid.Abstractions;
using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Server.Sessions;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.UnitTests.Log;

public sealed class EmbeddedStoreRegistrationTests
{
    [Fact]
    public async Task The_container_gives_logs_by_policy_and_closes_the_store()
    {
        using var folder = new TempFolder();
        var services = new ServiceCollection().AddLogging().AddGridEmbeddedStore();
        services.Configure<GridOptions>(options =>
        {
            options.DataDirectory = folder.Path;
            options.Namespaces["pointer"] = new NamespacePolicy { Durability = Durability.Ephemeral };
        });
        await using (var provider = services.BuildServiceProvider())
        {
            var logs = provider.GetRequiredService<MessageLogs>();
            Assert.Same(logs.Durable, logs.For(new ChannelId("t", "room:1")));
            Assert.Same(logs.Ephemeral, logs.For(new ChannelId("t", "pointer:1")));
            Assert.IsType<RocksDbMessageLog>(logs.Durable);
            Assert.IsType<MemoryMessageLog>(logs.Ephemeral);
            Assert.IsType<RocksDbSessionIndex>(provider.GetRequiredService<ISessionIndex>());
            Assert.NotNull(provider.GetRequiredService<RetentionSweeper>());
            Assert.Equal(1, (await logs.Durable.GetHeadAsync(new ChannelId("t", "room:1"))).Oldest);
        }

        // Closed with the container: it can be opened again.
        await using var store = Logs.OpenStore(folder.Path);
    }
}

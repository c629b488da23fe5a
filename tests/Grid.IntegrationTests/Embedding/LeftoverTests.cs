using System.Text;
using Grid.Server.Gateway;
using Grid.Server.Log;
using Grid.Server.Relay;
using Grid.Server.Sessions;
using Grid.Testing;
using Grid.Testing.Wire;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.IntegrationTests.Embedding;

/// <summary>What connections and sessions leave behind when they are over: nothing.</summary>
[Collection(AloneTests.Name)]
public class LeftoverTests(ShopApp app) : IClassFixture<ShopApp>
{
    private ConnectionRegistry Connections => app.Services.GetRequiredService<ConnectionRegistry>();

    private RelayHub Hub => app.Services.GetRequiredService<RelayHub>();

    [Fact]
    public async Task A_session_that_outlives_its_window_leaves_nothing()
    {
        using var deadline = TestDeadline.In(60);
        using var http = app.Http();
        var token = await http.TokenAsync("ana");
        RawResume resume;
        await using (var client = await RawClient.OpenAsync(app.Address, new() { Token = token }))
        {
            resume = new RawResume(client.Welcome!.Session, client.Welcome.ResumeToken);
            for (var i = 0; i < 5; i++) await client.SubscribeAsync($"left:{i}");
            await http.PublishAsync("left:0", "1");
            await client.MessageAsync("left:0", 1);
            client.Ack("left:0", 1);

            // While it lives it can be found, so that finding nothing later means something.
            await deadline.UntilAsync(async () => await StoredSessionsAsync() == (1, 1), () => "the session is stored");
            Assert.Equal((1, 5, 1L), (Connections.Count, Hub.ChannelCount, await Hub.CountSubscribersAsync(new("default", "left:0"))));
            Assert.Equal(1, (await SessionsAsync(http, "ana")).GetArrayLength());
        }

        await NothingIsLeftAsync(deadline);
        Assert.Equal(0, (await SessionsAsync(http, "ana")).GetArrayLength());
        await using var late = await RawClient.OpenAsync(app.Address, new() { Token = token }, resume);
        Assert.Equal("expired", late.Welcome!.State);
        Assert.Empty(late.Welcome.Subscriptions);
        Assert.NotEqual(resume.Session, late.Welcome.Session);

        // The channel itself is nobody's session: it stays.
        Assert.Equal(1, (await http.HistoryAsync("left:0")).Head);
        await late.CloseAsync();
        await NothingIsLeftAsync(deadline);
        Assert.Empty(app.Errors);
    }

    [Fact]
    public async Task Two_thousand_connections_leave_nothing()
    {
        const int Loops = 16;
        const int Cycles = 2000 / Loops;
        using var deadline = TestDeadline.In(240);
        using var http = app.Http();
        var tokens = await Task.WhenAll(Enumerable.Range(0, Loops).Select(i => http.TokenAsync($"user-{i}")));
        await Task.WhenAll(Enumerable.Range(0, Loops).Select(loop => Task.Run(() => CycleAsync(loop))));
        await NothingIsLeftAsync(deadline);
        for (var i = 0; i < Loops; i++) Assert.Equal(0, (await SessionsAsync(http, $"user-{i}")).GetArrayLength());
        Assert.Empty(app.Errors);

        async Task CycleAsync(int loop)
        {
            for (var i = 0; i < Cycles; i++)
            {
                await using var client = await RawClient.OpenAsync(app.Address, new() { Token = tokens[loop] });
                await client.SubscribeAsync($"cycle:{i % 40}");
                if (i % 8 == 0) await client.PublishAsync($"cycle:{i % 40}", $"{i}");

                // Some say goodbye, some are just gone, some leave a request behind.
                if (i % 3 == 0) await client.CloseAsync();
                else if (i % 3 == 1) client.Abort();
                else client.Send(ClientFrames.Subscribe(client.NextId(), $"cycle:{(i + 1) % 40}"));
            }
        }
    }

    /// <summary>Waits until no connection, relay registration, index entry or state row is left.</summary>
    private async Task NothingIsLeftAsync(TestDeadline deadline)
    {
        var (states, entries) = (-1, -1);
        await deadline.UntilAsync(
            async () =>
            {
                // Channels without subscribers are kept for a while, for those who come back soon; here the while is over.
                await Hub.SweepAsync(quietMs: 0, idleMs: 0, askGrains: true);
                (states, entries) = await StoredSessionsAsync();
                return (Connections.Count, Hub.ChannelCount, states, entries) == (0, 0, 0, 0);
            },
            () => $"nothing is left; {Connections.Count} connections, {Hub.ChannelCount} channels, {states} states, {entries} index entries are\n"
                + string.Join('\n', app.Log.Take(20)));
    }

    /// <summary>How many sessions have stored state, and how many are in the index.</summary>
    private async Task<(int States, int Entries)> StoredSessionsAsync()
    {
        var due = await app.Services.GetRequiredService<ISessionIndex>().DueAsync(DateTimeOffset.MaxValue, int.MaxValue);
        using var lease = app.Services.GetRequiredService<RocksDbStore>().Lease();
        using var rows = lease.Database.Db.NewIterator(lease.Database.State.Handle);
        var states = 0;
        for (rows.SeekToFirst(); rows.Valid(); rows.Next())
            if (Encoding.UTF8.GetString(rows.Key()).StartsWith(Server.Hosting.StorageNames.Sessions, StringComparison.Ordinal)) states++;
        return (states, due.Count);
    }

    private static async Task<System.Text.Json.JsonElement> SessionsAsync(Testing.Hosting.GridHttp http, string user) =>
        (await http.GetAsync($"/v1/sessions?user={user}")).Ok().Json.GetProperty("sessions");
}

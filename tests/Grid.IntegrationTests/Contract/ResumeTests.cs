using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

public class JsonResumeTests(ContractHost host) : ResumeTests(host, Subprotocols.Json);

public class ProtoResumeTests(ContractHost host) : ResumeTests(host, Subprotocols.Proto);

public abstract class ResumeTests(ContractHost host, string subprotocol) : ContractTest(host, subprotocol)
{
    private static RawResume ResumeOf(RawClient client, params (string Channel, RawPosition At)[] cursors) => new(
        client.Welcome!.Session, client.Welcome.ResumeToken, cursors.Length == 0 ? null : cursors.ToDictionary(c => c.Channel, c => c.At));

    [Fact]
    public async Task With_the_clients_cursors_it_goes_on_after_them()
    {
        var channel = ContractHost.NewChannel();
        var token = await Host.Http.TokenAsync("ana");
        await using var client = await Host.OpenWithAsync(token);
        var epoch = (await client.SubscribeAsync(channel)).Epoch;
        await FillAsync(channel, 4);
        await client.MessageAsync(channel, 4);
        client.Abort();
        await FillAsync(channel, 3);

        // The code had finished with 2 when the socket went.
        await using var again = await Host.OpenWithAsync(token, ResumeOf(client, (channel, new(epoch, 2))));
        Assert.Equal("resumed", again.Welcome!.State);
        Assert.Equal(client.Welcome!.Session, again.Welcome.Session);
        var subscription = Assert.Single(again.Welcome.Subscriptions);
        Assert.Equal((channel, new RawSubscription(epoch, 7, 2)), (subscription.Key, subscription.Value));
        await again.MessageAsync(channel, 7);
        await Host.Http.PublishAsync(channel, "8");
        await again.MessageAsync(channel, 8);
        Assert.Equal([3L, 4, 5, 6, 7, 8], again.Messages(channel).Select(m => m.Offset));
        Assert.Equal("welcome", again.Frames[0].Type);
    }

    [Fact]
    public async Task With_the_servers_cursors_it_goes_on_after_what_was_acknowledged()
    {
        var channel = ContractHost.NewChannel();
        var token = await Host.Http.TokenAsync("ana");
        await using var client = await Host.OpenWithAsync(token);
        await client.SubscribeAsync(channel);
        await FillAsync(channel, 5);
        await client.MessageAsync(channel, 5);
        client.Ack(channel, 3);
        await client.PingAsync();
        await client.CloseAsync();

        // A detach writes the cursors, and the session's own grain answers the resume: nothing acknowledged comes again.
        await using var again = await Host.OpenWithAsync(token, ResumeOf(client));
        Assert.Equal("resumed", again.Welcome!.State);
        Assert.Equal(3, again.Welcome.Subscriptions[channel].Cursor);
        await again.MessageAsync(channel, 5);
        Assert.Equal([4L, 5], again.Messages(channel).Select(m => m.Offset));
    }

    [Fact]
    public async Task Ack_is_cumulative_and_never_goes_back()
    {
        var channel = ContractHost.NewChannel();
        var token = await Host.Http.TokenAsync("ana");
        await using var client = await Host.OpenWithAsync(token);
        await client.SubscribeAsync(channel);
        await FillAsync(channel, 5);
        await client.MessageAsync(channel, 5);
        client.Ack(channel, 5);
        client.Ack(channel, 2);
        await client.PingAsync();
        await client.CloseAsync();
        await using var again = await Host.OpenWithAsync(token, ResumeOf(client));
        Assert.Equal(5, again.Welcome!.Subscriptions[channel].Cursor);
    }

    [Fact]
    public async Task Clients_cursors_and_stored_subscriptions_are_united()
    {
        var (known, stored, added) = (ContractHost.NewChannel(), ContractHost.NewChannel(), ContractHost.NewChannel());
        var token = await Host.Http.TokenAsync("ana");
        await using var client = await Host.OpenWithAsync(token);
        var epoch = (await client.SubscribeAsync(known)).Epoch;
        await client.SubscribeAsync(stored);
        var addedEpoch = await FillAsync(added, 2);
        await FillAsync(known, 2);
        await client.MessageAsync(known, 2);
        await client.CloseAsync();
        await using var again = await Host.OpenWithAsync(token, ResumeOf(client, (known, new(epoch, 1)), (added, new(addedEpoch, 1))));
        Assert.Equal("resumed", again.Welcome!.State);
        Assert.Equal(new[] { known, stored, added }.Order(StringComparer.Ordinal), again.Welcome.Subscriptions.Keys.Order(StringComparer.Ordinal));
        await FillAsync(stored, 1);
        await again.MessageAsync(stored, 1);
        await again.MessageAsync(known, 2);
        await again.MessageAsync(added, 2);
        Assert.Equal([2L], again.Messages(known).Select(m => m.Offset));
        Assert.Equal([2L], again.Messages(added).Select(m => m.Offset));
    }

    [Fact]
    public async Task A_cursor_of_another_epoch_gets_a_gap_first()
    {
        var channel = ContractHost.NewChannel();
        var token = await Host.Http.TokenAsync("ana");
        await using var client = await Host.OpenWithAsync(token);
        var epoch = (await client.SubscribeAsync(channel)).Epoch;
        await FillAsync(channel, 2);
        await client.MessageAsync(channel, 2);
        await client.CloseAsync();
        await using var again = await Host.OpenWithAsync(token, ResumeOf(client, (channel, new("another", 40))));
        await again.MessageAsync(channel, 2);
        var about = again.Frames.Where(f => f.Channel == channel).ToList();
        Assert.Equal("gap", about[0].Type);
        Assert.Equal(("epoch", epoch, 1, 0), (about[0].String("reason"), about[0].Epoch, about[0].Number("from"), about[0].Number("to")));
        Assert.Equal([1L, 2], about.Skip(1).Select(f => f.Offset));
    }

    [Fact]
    public async Task An_unknown_session_or_a_wrong_token_makes_a_new_one()
    {
        var token = await Host.Http.TokenAsync("ana");
        await using var owner = await Host.OpenWithAsync(token);
        await using var unknown = await Host.OpenWithAsync(token, new RawResume("nobody", "nothing"));
        Assert.Equal("expired", unknown.Welcome!.State);
        await using var wrong = await Host.OpenWithAsync(token, new RawResume(owner.Welcome!.Session, unknown.Welcome.ResumeToken));
        Assert.Equal("expired", wrong.Welcome!.State);
        Assert.NotEqual(owner.Welcome.Session, wrong.Welcome.Session);
        await owner.PingAsync();
    }

    [Fact]
    public async Task Another_users_resume_token_is_worth_nothing()
    {
        var channel = ContractHost.NewChannel();
        await using var ana = await Host.OpenAsync("ana");
        await ana.SubscribeAsync(channel);
        await using var eve = await Host.OpenAsync("eve", resume: ResumeOf(ana));
        Assert.NotEqual("resumed", eve.Welcome!.State);
        Assert.NotEqual(ana.Welcome!.Session, eve.Welcome.Session);
        Assert.Empty(eve.Welcome.Subscriptions);
        await FillAsync(channel, 1);
        await ana.MessageAsync(channel, 1);
    }

    [Fact]
    public async Task A_resume_asks_again_what_the_token_may_do()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync("ana");
        var epoch = (await client.SubscribeAsync(channel)).Epoch;
        await client.CloseAsync();
        var lesser = await Host.Http.TokenAsync("ana", """{"other:*":["subscribe"]}""");
        await using var again = await Host.OpenWithAsync(lesser, ResumeOf(client, (channel, new(epoch, 0))));
        await FillAsync(channel, 2);
        AssertType(await again.SubscribeAsync(ContractHost.NewChannel("other")), "subscribed");
        await again.PingAsync();
        Assert.Empty(again.Messages(channel));
    }

    [Fact]
    public async Task The_newer_socket_of_a_session_supersedes_the_older()
    {
        var channel = ContractHost.NewChannel();
        var token = await Host.Http.TokenAsync("ana");
        await using var older = await Host.OpenWithAsync(token);
        var epoch = (await older.SubscribeAsync(channel)).Epoch;
        await FillAsync(channel, 2);
        await older.MessageAsync(channel, 2);
        await using var newer = await Host.OpenWithAsync(token, ResumeOf(older, (channel, new(epoch, 2))));
        Assert.Equal("resumed", newer.Welcome!.State);
        Assert.Equal(4500, (await older.ClosedAsync()).Code);
        await FillAsync(channel, 1);
        await newer.MessageAsync(channel, 3);
        Assert.Equal([3L], newer.Messages(channel).Select(m => m.Offset));
        Assert.DoesNotContain(older.Messages(channel), m => m.Offset == 3);
    }

    [Fact]
    public async Task A_resume_after_expiry_makes_a_new_session_and_leaves_nothing_behind()
    {
        await using var process = await HostProcess.RunAsync([new("Grid__ResumeWindow", "00:00:01"), new("Grid__CheckpointInterval", "00:00:00.200")]);
        using var http = process.Http();
        var token = await http.TokenAsync("ana");
        await using var client = await RawClient.OpenAsync(process.Address, Host.Options(token));
        Assert.Equal(1_000, client.Welcome!.Frame.Number("resumeWindowMs"));
        await client.SubscribeAsync("room:1");
        Assert.Contains(client.Welcome.Session, (await http.GetAsync("/v1/sessions?user=ana")).Ok().Text, StringComparison.Ordinal);
        await client.CloseAsync();
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(
            async () => !(await http.GetAsync("/v1/sessions?user=ana")).Ok().Text.Contains(client.Welcome.Session, StringComparison.Ordinal),
            () => "the session is forgotten");
        await using var again = await RawClient.OpenAsync(process.Address, Host.Options(token), ResumeOf(client));
        Assert.Equal("expired", again.Welcome!.State);
        Assert.NotEqual(client.Welcome.Session, again.Welcome.Session);
        Assert.Empty(again.Welcome.Subscriptions);
        Assert.Empty(process.Output.Errors);
    }
}

using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

public class JsonSubscribeTests(ContractHost host) : SubscribeTests(host, Subprotocols.Json);

public class ProtoSubscribeTests(ContractHost host) : SubscribeTests(host, Subprotocols.Proto);

public abstract class SubscribeTests(ContractHost host, string subprotocol) : ContractTest(host, subprotocol)
{
    [Fact]
    public async Task From_now_on_a_new_channel()
    {
        var channel = ContractHost.NewChannel();
        var before = DateTimeOffset.UtcNow.AddMinutes(-1).ToUnixTimeMilliseconds();
        await using var client = await Host.OpenAsync("ana");
        var subscribed = AssertType(await client.SubscribeAsync(channel, ClientFrames.Now), "subscribed");
        Assert.Equal(channel, subscribed.Channel);
        Assert.Equal((0, 0), (subscribed.Head, subscribed.Cursor));
        Assert.NotEmpty(subscribed.Epoch);
        var published = AssertType(await client.PublishAsync(channel, """{"text":"hi"}""", "k-1", "chat.message"), "published");
        var message = await client.MessageAsync(channel, 1);
        Assert.Equal(new RawPosition(subscribed.Epoch, 1), published.Position);
        Assert.Equal("""{"text":"hi"}""", message.Payload);
        Assert.Equal("k-1", message.String("key"));
        Assert.Equal("chat.message", message.String("event"));
        Assert.Equal("ana", message.String("from"));
        Assert.InRange(message.Number("at"), before, DateTimeOffset.UtcNow.AddMinutes(1).ToUnixTimeMilliseconds());
    }

    [Fact]
    public async Task Absent_fields_are_left_out()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        await client.SubscribeAsync(channel);
        await Host.Http.PublishAsync(channel, "1");
        var message = await client.MessageAsync(channel, 1);
        Assert.False(message.Has("key") || message.Has("event") || message.Has("from") || message.Has("data64"), message.Text);
    }

    [Fact]
    public async Task Now_is_the_default_and_skips_what_was()
    {
        var channel = ContractHost.NewChannel();
        await FillAsync(channel, 3);
        await using var client = await Host.OpenAsync();
        var subscribed = AssertType(await client.SubscribeAsync(channel), "subscribed");
        Assert.Equal((3, 3), (subscribed.Head, subscribed.Cursor));
        await Host.Http.PublishAsync(channel, "4");
        await client.MessageAsync(channel, 4);
        Assert.Equal([4L], client.Messages(channel).Select(m => m.Offset));
    }

    [Theory]
    [InlineData("\"start\"", 0)]
    [InlineData("""{"last":2}""", 3)]
    [InlineData("""{"last":1}""", 4)]
    [InlineData("""{"last":1000}""", 0)]
    public async Task From_the_past(string from, long cursor)
    {
        var channel = ContractHost.NewChannel();
        await FillAsync(channel, 5);
        await using var client = await Host.OpenAsync();
        var subscribed = AssertType(await client.SubscribeAsync(channel, from), "subscribed");
        Assert.Equal((5, cursor), (subscribed.Head, subscribed.Cursor));
        await Host.Http.PublishAsync(channel, "6");
        await client.MessageAsync(channel, 6);
        var messages = client.Messages(channel);
        Assert.Equal(Enumerable.Range((int)cursor + 1, 6 - (int)cursor).Select(i => (long)i), messages.Select(m => m.Offset));
        Assert.All(messages, m => Assert.Equal($"{m.Offset}", m.Payload));
        Assert.All(messages, m => Assert.True(m.Index > subscribed.Index, "a message came before subscribed"));
    }

    [Fact]
    public async Task From_a_position()
    {
        var channel = ContractHost.NewChannel();
        var epoch = await FillAsync(channel, 5);
        await using var client = await Host.OpenAsync();
        var subscribed = AssertType(await client.SubscribeAsync(channel, ClientFrames.At(new(epoch, 3))), "subscribed");
        Assert.Equal((epoch, 3, 5), (subscribed.Epoch, subscribed.Cursor, subscribed.Head));
        await client.MessageAsync(channel, 5);
        Assert.Equal([4L, 5L], client.Messages(channel).Select(m => m.Offset));
    }

    [Fact]
    public async Task A_position_after_the_head_is_invalid()
    {
        var channel = ContractHost.NewChannel();
        var epoch = await FillAsync(channel, 2);
        await using var client = await Host.OpenAsync();
        AssertError(await client.SubscribeAsync(channel, ClientFrames.At(new(epoch, 3))), "invalid_position");
        AssertError(await client.UnsubscribeAsync(channel), "not_subscribed");
    }

    [Fact]
    public async Task A_position_of_another_epoch_begins_with_a_gap()
    {
        var channel = ContractHost.NewChannel();
        var epoch = await FillAsync(channel, 3);
        await using var client = await Host.OpenAsync();
        var subscribed = AssertType(await client.SubscribeAsync(channel, ClientFrames.At(new("another", 77))), "subscribed");
        Assert.Equal((epoch, 0), (subscribed.Epoch, subscribed.Cursor));
        client.ContinueAfter(subscribed);
        var gap = AssertType(await client.NextAsync("gap"), "gap");
        Assert.Equal(("epoch", epoch, 1, 0), (gap.String("reason"), gap.Epoch, gap.Number("from"), gap.Number("to")));
        await client.MessageAsync(channel, 3);
        Assert.Equal([1L, 2L, 3L], client.Messages(channel).Select(m => m.Offset));
    }

    [Fact]
    public async Task What_retention_took_is_a_gap_before_any_message()
    {
        var (channel, epoch) = await Host.Trimmed;
        await using var client = await Host.OpenAsync();
        var subscribed = AssertType(await client.SubscribeAsync(channel, ClientFrames.At(new(epoch, 2))), "subscribed");
        client.ContinueAfter(subscribed);
        var gap = AssertType(await client.NextAsync("gap"), "gap");
        Assert.Equal(("retention", epoch, 3), (gap.String("reason"), gap.Epoch, gap.Number("from")));
        Assert.Equal(subscribed.Cursor, gap.Number("to"));
        var first = AssertType(await client.NextAsync("message"), "message");
        Assert.Equal(subscribed.Cursor + 1, first.Offset);
        await client.MessageAsync(channel, 60);
        Assert.Equal(Enumerable.Range((int)first.Offset, 61 - (int)first.Offset).Select(i => (long)i), client.Messages(channel).Select(m => m.Offset));
        var stored = await Host.Http.HistoryAsync(channel);
        Assert.True(stored.Oldest > gap.Number("to"), $"the gap {gap} covers what is stored from {stored.Oldest} on");
    }

    [Fact]
    public async Task Subscribing_again_changes_nothing()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        await client.SubscribeAsync(channel);
        await FillAsync(channel, 2);
        await client.MessageAsync(channel, 2);
        var again = AssertType(await client.SubscribeAsync(channel), "subscribed");
        Assert.Equal(2, again.Head);
        await Host.Http.PublishAsync(channel, "3");
        await client.MessageAsync(channel, 3);
        Assert.Equal([1L, 2L, 3L], client.Messages(channel).Select(m => m.Offset));
    }

    [Fact]
    public async Task Subscribing_again_from_a_position_moves_there()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync();
        await client.SubscribeAsync(channel);
        await FillAsync(channel, 3);
        await client.MessageAsync(channel, 3);
        var moved = AssertType(await client.SubscribeAsync(channel, ClientFrames.Start), "subscribed");
        Assert.Equal(0, moved.Cursor);
        await client.WaitAsync(f => f.Type == "message" && f.Offset == 3 && f.Index > moved.Index, "the third message again");
        Assert.Equal([1L, 2L, 3L], client.Messages(channel).Where(m => m.Index > moved.Index).Select(m => m.Offset));
    }

    [Fact]
    public async Task Unsubscribe_ends_it()
    {
        var (left, kept) = (ContractHost.NewChannel(), ContractHost.NewChannel());
        await using var client = await Host.OpenAsync();
        await client.SubscribeAsync(left);
        await client.SubscribeAsync(kept);
        AssertType(await client.UnsubscribeAsync(left), "unsubscribed");
        await FillAsync(left, 3);
        await FillAsync(kept, 1);
        await client.MessageAsync(kept, 1);
        Assert.Empty(client.Messages(left));
        AssertError(await client.UnsubscribeAsync(left), "not_subscribed");
    }

    [Fact]
    public async Task Many_subscribers_hear_the_same()
    {
        var channel = ContractHost.NewChannel();
        var clients = new List<RawClient>();
        try
        {
            for (var i = 0; i < 10; i++) clients.Add(await Host.OpenAsync());
            foreach (var client in clients) AssertType(await client.SubscribeAsync(channel), "subscribed");
            await Task.WhenAll(clients.SelectMany(c => Enumerable.Range(0, 20).Select(i => c.PublishAsync(channel, $"{i}"))));
            foreach (var client in clients)
            {
                await client.MessageAsync(channel, 200);
                Assert.Equal(clients[0].Messages(channel).Select(m => (m.Offset, m.Payload, m.String("from"))), client.Messages(channel).Select(m => (m.Offset, m.Payload, m.String("from"))));
                Assert.Equal(Enumerable.Range(1, 200).Select(i => (long)i), client.Messages(channel).Select(m => m.Offset));
            }
        }
        finally
        {
            foreach (var client in clients) await client.DisposeAsync();
        }
    }

    [Fact]
    public async Task A_session_has_a_limit_of_subscriptions()
    {
        await using var client = await Host.OpenAsync();
        for (var i = 0; i < ContractHost.MaxSubscriptions; i++)
        {
            AssertType(await client.SubscribeAsync(ContractHost.NewChannel()), "subscribed");
        }

        AssertError(await client.SubscribeAsync(ContractHost.NewChannel()), "quota_exceeded");
        await client.PingAsync();
    }

    [Fact]
    public async Task A_namespace_without_history_refuses_the_past()
    {
        var channel = ContractHost.NewChannel("nohist");
        await FillAsync(channel, 2);
        await using var client = await Host.OpenAsync();
        AssertError(await client.SubscribeAsync(channel, ClientFrames.Start), "forbidden");
        AssertType(await client.SubscribeAsync(channel), "subscribed");
    }

    [Fact]
    public async Task An_ephemeral_channel_delivers_and_resumes()
    {
        var channel = ContractHost.NewChannel("eph");
        var token = await Host.Http.TokenAsync("ana");
        await using var client = await Host.OpenWithAsync(token);
        var subscribed = await client.SubscribeAsync(channel);
        AssertType(await client.PublishAsync(channel, "1"), "published");
        await client.MessageAsync(channel, 1);
        client.Abort();
        await FillAsync(channel, 2);
        var resume = new RawResume(client.Welcome!.Session, client.Welcome.ResumeToken, new Dictionary<string, RawPosition> { [channel] = new(subscribed.Epoch, 1) });
        await using var again = await Host.OpenWithAsync(token, resume);
        Assert.Equal("resumed", again.Welcome!.State);
        await again.MessageAsync(channel, 3);
        Assert.Equal([2L, 3L], again.Messages(channel).Select(m => m.Offset));
    }
}

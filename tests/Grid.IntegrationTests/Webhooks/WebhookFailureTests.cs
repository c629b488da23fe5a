using System.Text.Json;
using Grid.Testing.Webhooks;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>Endpoints that fail in every way there is.</summary>
public sealed class WebhookFailureTests(WebhookHost host) : WebhookTest(host)
{
    private const string Patient = "\"retry\":{\"schedule\":[0,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}";

    [Fact]
    public async Task However_an_endpoint_fails_its_messages_come_under_the_same_ids_once_it_is_well_and_nobody_else_waits()
    {
        var prefix = NewChannel("fail") + ".";
        var healthy = Receiver.At("/healthy");
        await CreateAsync(prefix + "*", healthy);
        await CreateAsync(prefix + "*", Receiver.At("/other"), http: Host.Other);
        (string Name, ReceiverAnswer? Answer, string Error, int? Status)[] ways =
        [
            ("refuse", null, "connect", null),
            ("hang", Answers.Hang, "timeout", null),
            ("reset", Answers.Reset, "reset", null),
            ("reset-mid-body", Answers.ResetMidBody, "reset", 200),
            ("trickle", Answers.Trickle(TimeSpan.FromSeconds(1)), "timeout", 200),
            ("garbage", Answers.Garbage, "protocol", null),
            ("redirect", Answers.Redirect(healthy.Url), "redirect", 302),
            ("status-500", Answers.Status(500), "status", 500),
            ("status-400", Answers.Status(400), "status", 400),
            ("status-503", Answers.Status(503), "status", 503),
        ];
        await Task.WhenAll(ways.Select(way => FailAsync(prefix, way.Name, way.Answer, way.Error, way.Status)));
        await healthy.DeliveredAsync(4 * ways.Length);
        Assert.Equal(4 * ways.Length, healthy.Count);
        Assert.Equal(2 * ways.Length, Receiver.At("/other").Count);
    }

    private async Task FailAsync(string prefix, string name, ReceiverAnswer? answer, string error, int? status)
    {
        await using var receiver = new WebhookReceiver();
        var inbox = receiver.Inbox;
        if (answer is null) await receiver.CloseAsync();
        else inbox.Answer = answer;
        var hook = await CreateAsync(prefix + name, inbox, Patient);
        var epoch = await PublishAsync(prefix + name, 1, 2);
        await hook.UntilAsync(w => w.GetProperty("parked").GetInt32() == 2, $"{name}: both have failed");

        // The others get what this one cannot have, and what comes later, while it fails.
        await PublishAsync(prefix + name, 3, 4);
        await PublishAsync(prefix + name, 1, 2, http: Host.Other);
        await Receiver.At("/healthy").UntilAsync(
            () => Receiver.At("/healthy").Requests.Count(r => r.Channel == prefix + name && r.Answered == 204) == 4, () => $"{name}: the neighbour has all");
        await Receiver.At("/other").UntilAsync(
            () => Receiver.At("/other").Requests.Count(r => r.Channel == prefix + name) == 2, () => $"{name}: the other tenant has all");
        var failed = await hook.AttemptsAsync("?status=failed");
        Assert.NotEmpty(failed);
        Assert.All(failed, a =>
        {
            Assert.True(a.GetProperty("error").GetString() == error, $"{name}: {a}");
            Assert.Equal(status, a.TryGetProperty("status", out var s) ? s.GetInt32() : null);
            Assert.False(a.GetProperty("succeeded").GetBoolean());
        });

        inbox.Answer = Answers.NoContent;
        if (answer is null) receiver.Open();
        await inbox.DeliveredAsync(4);
        await hook.SettledAsync();
        var requests = inbox.Requests;
        Assert.Equal([1L, 2L, 3L, 4L], requests.Where(r => r.Answered == 204).Select(r => r.Offset).Order());
        Assert.All(requests.GroupBy(r => r.Offset), g => Assert.Single(g.Select(r => r.Id).Distinct()));
        Assert.All(requests, r => Assert.True(r.IsSignedBy(hook.Secret)));

        // The first two were attempted before, and their attempts count.
        Assert.All(requests.Where(r => r.Answered == 204 && r.Offset <= 2), r => Assert.True(r.Attempt > 1, r.ToString()));
        Assert.Equal(epoch, (await hook.GetAsync()).GetProperty("cursors").GetProperty(prefix + name).GetProperty("epoch").GetString());
        Assert.Equal(4, (await hook.AttemptsAsync("?status=succeeded")).Count);
    }

    [Fact]
    public async Task An_answer_of_one_gigabyte_is_not_read()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel);
        Inbox.Answer = Answers.Flood(1L << 30);
        await PublishAsync(channel);
        await hook.SettledAsync();
        var attempt = Assert.Single(await hook.AttemptsAsync());
        Assert.True(attempt.GetProperty("succeeded").GetBoolean());
        Assert.True(attempt.GetProperty("responseClipped").GetBoolean());
        Assert.Equal(16 * 1024, attempt.GetProperty("response").GetString()!.Length);

        // 64 KiB were read; the rest of what the connection took is in buffers of the two systems.
        Assert.InRange(Assert.Single(Inbox.Requests).AnswerBytes, 64 * 1024, 32 * 1024 * 1024);
    }

    [Fact]
    public async Task An_endpoint_that_is_gone_disables_the_webhook_which_keeps_what_it_has_not_delivered()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel);
        Inbox.Answer = Answers.Gone;
        await PublishAsync(channel);
        var webhook = await hook.UntilAsync(w => w.GetProperty("status").GetString() == "disabled", "disabled");
        Assert.Equal("gone", webhook.GetProperty("reason").GetString());
        await PublishAsync(channel, 2, 3);
        Assert.Equal(3, (await hook.UntilAsync(w => w.GetProperty("lag").GetProperty("messages").GetInt64() == 3, "behind")).GetProperty("lag").GetProperty("messages").GetInt64());
        Assert.Equal(1, Inbox.Count);
        Inbox.Answer = Answers.NoContent;
        Assert.Equal("active", (await hook.DoAsync("enable")).Json.GetProperty("status").GetString());
        await Inbox.DeliveredAsync(3);
        Assert.Equal(Inbox.Requests[0].Id, Inbox.Requests.Single(r => r.Offset == 1 && r.Answered == 204).Id);
    }

    [Theory]
    [InlineData(429, false)]
    [InlineData(503, true)]
    public async Task Retry_after_holds_the_whole_endpoint_and_uses_up_no_attempt(int status, bool date)
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel, more: "\"retry\":{\"schedule\":[0]}");
        DateTimeOffset until = default;
        Inbox.Answer = Answers.First(1, x =>
        {
            until = DateTimeOffset.UtcNow.AddSeconds(date ? 6 : 5);
            if (date) until = new DateTimeOffset(until.Ticks - (until.Ticks % TimeSpan.TicksPerSecond), TimeSpan.Zero);
            return (date ? Answers.RetryAt(status, until) : Answers.RetryAfter(status, 5))(x);
        });
        await PublishAsync(channel);
        var held = await hook.UntilAsync(w => w.GetProperty("circuit").GetString() == "held", "held");
        Assert.InRange((held.GetProperty("retryAt").GetDateTimeOffset() - until).TotalSeconds, -0.1, date ? 0.1 : 20);
        await PublishAsync(channel, 2, 3);
        await Inbox.DeliveredAsync(3);
        await hook.SettledAsync();

        // None of them came before the time was over; the one that was turned away is at its first and only attempt still.
        Assert.All(Inbox.Requests.Skip(1), r => Assert.True(r.At >= held.GetProperty("retryAt").GetDateTimeOffset().AddMilliseconds(-50), $"{r} at {r.At:O}"));
        Assert.All(Inbox.Requests, r => Assert.Equal(1, r.Attempt));
        Assert.Equal(4, Inbox.Count);
        Assert.Empty(await hook.DeadLettersAsync());
        Assert.Equal("closed", (await hook.GetAsync()).GetProperty("circuit").GetString());
    }

    [Fact]
    public async Task An_endpoint_that_flaps_gets_everything_and_each_message_counts_its_attempts()
    {
        var channel = NewChannel();
        Inbox.Answer = Answers.Flap(1, Answers.Status(500));
        var hook = await CreateAsync(channel, more: Patient);
        await PublishAsync(channel, 1, 20);
        await Inbox.DeliveredAsync(20);
        await hook.SettledAsync();
        foreach (var message in Inbox.Requests.GroupBy(r => r.Id))
        {
            Assert.Equal(1, message.Count(r => r.Answered == 204));
            Assert.Equal(message.Last().Answered, 204);
            var attempts = message.Select(r => r.Attempt).ToList();
            Assert.Equal(attempts.Order(), attempts);
        }

        Assert.Empty(await hook.DeadLettersAsync());
    }

    [Fact]
    public async Task A_dead_endpoint_is_only_probed_and_uses_up_no_attempts_of_what_waits()
    {
        var channel = NewChannel();
        Inbox.Answer = Answers.Status(500);
        var hook = await CreateAsync(channel, more: "\"retry\":{\"schedule\":[0,1,1]}");
        await PublishAsync(channel, 1, 200);
        await hook.UntilAsync(w => w.GetProperty("circuit").GetString() == "open", "open");
        var sent = Inbox.Count;
        Inbox.Answer = Answers.NoContent;
        await hook.UntilAsync(w => w.GetProperty("circuit").GetString() == "closed", "closed");
        await Inbox.DeliveredAsync(200);
        await hook.SettledAsync();
        Assert.InRange(sent, 10, 60);
        Assert.Equal(200, Inbox.Requests.Count(r => r.Answered == 204));
        Assert.Empty(await hook.DeadLettersAsync());
        Assert.True(JsonElement.DeepEquals(JsonElement.Parse("0"), (await hook.GetAsync()).GetProperty("parked")));
    }
}

using System.Net;
using System.Text.Json;
using Grid.Testing;
using Grid.Testing.Webhooks;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>What is done with the messages of a subscription.</summary>
public sealed class WebhookOperationTests(WebhookHost host) : WebhookTest(host)
{
    private const string Once = "\"retry\":{\"schedule\":[0]}";

    [Fact]
    public async Task Seeking_delivers_what_comes_after_the_place_and_nothing_before()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel);
        await hook.DoAsync("pause");
        var epoch = await PublishAsync(channel, 1, 6);
        Assert.Equal(HttpStatusCode.NoContent, (await hook.DoAsync("seek", Positions(channel, epoch, 4))).Status);
        await hook.DoAsync("resume");
        await Inbox.DeliveredAsync(2);
        await hook.SettledAsync();
        Assert.Equal([5L, 6L], Inbox.Requests.Select(r => r.Offset).Order());

        await hook.DoAsync("seek", Positions(channel, epoch, 2));
        await Inbox.CountAsync(6);
        await hook.SettledAsync();
        Assert.Equal([3L, 4L, 5L, 5L, 6L, 6L], Inbox.Requests.Select(r => r.Offset).Order());
        Assert.Equal(4, Inbox.Distinct);

        await hook.DoAsync("seek", """{"since":"2020-01-01T00:00:00Z"}""");
        await Inbox.DeliveredAsync(6);
        await hook.SettledAsync();
        var count = Inbox.Count;
        await hook.DoAsync("pause");
        await PublishAsync(channel, 7, 8);
        await hook.DoAsync("seek", """{"named":"now"}""");
        await hook.DoAsync("resume");
        await PublishAsync(channel, 9, 9);
        await Inbox.CountAsync(count + 1);
        await hook.SettledAsync();
        Assert.Equal(9, Inbox.Requests[^1].Offset);
        Assert.Equal(count + 1, Inbox.Count);
    }

    [Fact]
    public async Task A_blocking_message_is_skipped_and_a_delivered_one_is_sent_again()
    {
        var channel = NewChannel();
        Inbox.Answer = x => x.RespondAsync(x.Request.Offset == 2 ? 400 : 204);
        var hook = await CreateAsync(channel, more: "\"mode\":\"ordered\",\"retry\":{\"schedule\":[0,600]}");
        await PublishAsync(channel, 1, 4);
        var blocked = await hook.UntilAsync(w => w.TryGetProperty("blockedBy", out _), "blocked");
        Assert.Equal(3, blocked.GetProperty("lag").GetProperty("messages").GetInt64());
        var head = blocked.GetProperty("blockedBy").GetString()!;
        Assert.Equal(head, Inbox.Requests[1].Id);
        Assert.Equal(HttpStatusCode.NoContent, (await hook.DoAsync($"messages/{head}/skip")).Status);
        await Inbox.DeliveredAsync(3);
        Assert.Equal([1L, 2L, 3L, 4L], Inbox.Requests.Select(r => r.Offset));
        await hook.SettledAsync();

        Assert.Equal(HttpStatusCode.Accepted, (await hook.DoAsync($"messages/{Inbox.Requests[0].Id}/resend")).Status);
        await Inbox.CountAsync(5);
        Assert.Equal((1L, Inbox.Requests[0].Id), (Inbox.Requests[4].Offset, Inbox.Requests[4].Id));
        Inbox.Answer = Answers.NoContent;
        await hook.DoAsync($"messages/{head}/resend");
        await Inbox.DeliveredAsync(4);
    }

    [Fact]
    public async Task Exhausted_messages_are_dead_letters_that_are_listed_exported_and_redriven()
    {
        var channel = NewChannel();
        Inbox.Answer = x => x.RespondAsync(x.Request.Offset <= 3 ? 422 : 204, "no");
        var hook = await CreateAsync(channel, more: Once);
        var epoch = await PublishAsync(channel, 1, 5, "order.created");
        await hook.SettledAsync();
        var letters = await hook.DeadLettersAsync();
        Assert.Equal([1L, 2L, 3L], letters.Select(l => l.GetProperty("offset").GetInt64()).Order());
        Assert.All(letters, l => Assert.Equal(
            (channel, epoch, 1, "422"),
            (l.GetProperty("channel").GetString(), l.GetProperty("epoch").GetString(), l.GetProperty("attempts").GetInt32(), l.GetProperty("failure").GetString())));
        var page = (await Http.GetAsync(hook.Path("/dead-letters?limit=2"))).Ok().Json;
        Assert.Equal(2, page.GetProperty("deadLetters").GetArrayLength());
        var rest = (await Http.GetAsync(hook.Path($"/dead-letters?limit=2&after={Uri.EscapeDataString(page.GetProperty("next").GetString()!)}"))).Ok().Json;
        Assert.Equal(1, rest.GetProperty("deadLetters").GetArrayLength());
        Assert.False(rest.TryGetProperty("next", out _));

        var export = (await Http.GetAsync(hook.Path("/dead-letters/export"))).Ok();
        Assert.Equal("application/x-ndjson", export.ContentType);
        var lines = export.Text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonElement.Parse(l)).ToList();
        Assert.Equal(3, lines.Count);
        Assert.All(lines, l => Assert.Equal(
            (l.GetProperty("offset").GetInt64(), l.GetProperty("offset").GetInt64(), "order.created"),
            (l.GetProperty("message").GetProperty("offset").GetInt64(), l.GetProperty("message").GetProperty("data").GetInt64(), l.GetProperty("message").GetProperty("event").GetString())));

        Inbox.Answer = Answers.NoContent;
        var one = letters.Single(l => l.GetProperty("offset").GetInt64() == 2).GetProperty("messageId").GetString()!;
        Assert.Equal(1, (await hook.DoAsync("dead-letters/redrive", $$"""{"messages":["{{one}}","msg_none"]}""")).Json.GetProperty("redriven").GetInt32());
        await Inbox.DeliveredAsync(3);
        await hook.UntilAsync(w => w.GetProperty("parked").GetInt32() == 0, "redriven");
        Assert.Equal(2, (await hook.DoAsync("dead-letters/redrive")).Json.GetProperty("redriven").GetInt32());
        await Inbox.DeliveredAsync(5);
        Assert.Equal(5, Inbox.Distinct);
        using var deadline = TestDeadline.In(60);
        await deadline.UntilAsync(async () => (await hook.DeadLettersAsync()).Count == 0, () => "no dead letters are left");
    }

    [Fact]
    public async Task Attempts_are_listed_by_message_time_and_outcome_page_by_page()
    {
        var channel = NewChannel();
        Inbox.Answer = Answers.First(2, Answers.Body(500, "sorry"));
        var hook = await CreateAsync(channel, more: "\"mode\":\"ordered\",\"retry\":{\"schedule\":[0,1,1]}");
        await PublishAsync(channel, 1, 3);
        await Inbox.DeliveredAsync(3);
        await hook.SettledAsync();
        var all = await hook.AttemptsAsync();
        Assert.Equal(5, all.Count);
        Assert.Equal(Inbox.Requests.Select(r => (r.Id, r.Attempt)).Reverse(), all.Select(a => (a.GetProperty("messageId").GetString()!, a.GetProperty("attempt").GetInt32())));
        var failed = await hook.AttemptsAsync("?status=failed");
        Assert.All(failed, a => Assert.Equal(
            (500, "status", "sorry", channel, 1L),
            (a.GetProperty("status").GetInt32(), a.GetProperty("error").GetString(), a.GetProperty("response").GetString(), a.GetProperty("channel").GetString(),
                a.GetProperty("offset").GetInt64())));
        Assert.Equal(3, (await hook.AttemptsAsync($"?messageId={Inbox.Requests[0].Id}")).Count);
        Assert.Equal(3, (await hook.AttemptsAsync("?status=succeeded")).Count);
        var middle = all[2].GetProperty("at").GetString()!;
        Assert.Equal(3, (await hook.AttemptsAsync($"?since={middle}")).Count);
        Assert.Equal(2, (await hook.AttemptsAsync($"?until={middle}")).Count);
        Assert.Equal(2, (await hook.AttemptsAsync($"?before={middle}")).Count);
        var paged = new List<string>();
        for (string? query = "?limit=2"; query is not null;)
        {
            var page = (await Http.GetAsync(hook.Path("/attempts" + query))).Ok().Json;
            paged.AddRange(page.GetProperty("attempts").EnumerateArray().Select(a => a.GetProperty("id").GetString()!));
            query = page.TryGetProperty("next", out var next) ? $"?limit=2&before={next}" : null;
        }

        Assert.Equal(all.Select(a => a.GetProperty("id").GetString()), paged);
    }

    [Fact]
    public async Task A_replay_delivers_the_past_once_more_under_the_same_ids_and_tells_how_far_it_is()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel);
        var epoch = await PublishAsync(channel, 1, 20);
        await Inbox.DeliveredAsync(20);
        await hook.SettledAsync();
        var answer = await hook.DoAsync("replay", Positions(channel, epoch, 15));
        Assert.Equal(HttpStatusCode.Accepted, answer.Status);
        var replay = answer.Json;
        Assert.Equal("running", replay.GetProperty("status").GetString());
        Assert.Equal(5, replay.GetProperty("remaining").GetInt64());
        Assert.Equal(hook.Path($"/replays/{replay.GetProperty("id").GetString()}"), answer.Headers.Location?.OriginalString);
        var done = await DoneAsync(answer.Headers.Location!.OriginalString);
        Assert.Equal(("done", 5L, 0L, 0L), Progress(done));
        Assert.Equal([16L, 17L, 18L, 19L, 20L], Inbox.Requests.Skip(20).Select(r => r.Offset).Order());
        Assert.Equal(20, Inbox.Distinct);

        answer = await hook.DoAsync("replay", """{"since":"2020-01-01T00:00:00Z"}""");
        done = await DoneAsync(answer.Headers.Location!.OriginalString);
        Assert.Equal(("done", 20L, 0L, 0L), Progress(done));
        Assert.Equal(45, Inbox.Count);
    }

    [Fact]
    public async Task A_replay_is_bounded_in_its_rate_one_at_a_time_and_can_be_cancelled_and_new_messages_pass_it()
    {
        var channel = NewChannel();
        var hook = await CreateAsync(channel);
        await PublishAsync(channel, 1, 50);
        await Inbox.DeliveredAsync(50);
        await hook.SettledAsync();
        var answer = await hook.DoAsync("replay", """{"since":"2020-01-01T00:00:00Z","perSecond":2}""");
        var location = answer.Headers.Location!.OriginalString;
        AssertProblem(await Http.PostAsync(hook.Path("/replay"), """{"since":"2020-01-01T00:00:00Z"}"""), HttpStatusCode.Conflict, "conflict");
        await Inbox.CountAsync(52);
        await PublishAsync(channel, 51, 51);
        await Inbox.DeliveredAsync(51);
        var running = (await Http.GetAsync(location)).Ok().Json;
        Assert.Equal("running", running.GetProperty("status").GetString());
        Assert.InRange(running.GetProperty("delivered").GetInt64(), 1, 40);
        var cancelled = (await Http.SendAsync(HttpMethod.Delete, location)).Ok().Json;
        Assert.Equal("cancelled", cancelled.GetProperty("status").GetString());
        Assert.Equal("cancelled", (await Http.SendAsync(HttpMethod.Delete, location)).Ok().Json.GetProperty("status").GetString());
        Assert.Equal("cancelled", (await Http.GetAsync(location)).Ok().Json.GetProperty("status").GetString());
        Assert.Equal(51, (await hook.SettledAsync()).GetProperty("cursors").GetProperty(channel).GetProperty("offset").GetInt64());
        Assert.True(Inbox.Count < 95, Inbox.Describe());
    }

    private static string Positions(string channel, string epoch, long offset) => $$$$"""{"positions":{"{{{{channel}}}}":{"epoch":"{{{{epoch}}}}","offset":{{{{offset}}}}}}}""";

    private static (string?, long, long, long) Progress(JsonElement replay) => (
        replay.GetProperty("status").GetString(), replay.GetProperty("delivered").GetInt64(), replay.GetProperty("failed").GetInt64(), replay.GetProperty("remaining").GetInt64());

    private async Task<JsonElement> DoneAsync(string location)
    {
        using var deadline = TestDeadline.In(30);
        JsonElement seen = default;
        await deadline.UntilAsync(
            async () =>
            {
                seen = (await Http.GetAsync(location)).Ok().Json;
                return seen.GetProperty("status").GetString() != "running";
            },
            () => $"the replay is done: {seen}");
        return seen;
    }
}

using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Store;
using Xunit;

namespace Grid.Testing.Webhooks;

// Attempts.
public abstract partial class WebhookStoreConformance
{
    [Fact]
    public async Task Attempts_are_found_by_time_message_and_outcome()
    {
        var (webhook, other) = (await CreateAsync("wh_1", "*"), await CreateAsync("wh_11", "*"));
        StoredAttempt[] attempts =
        [
            .. Enumerable.Range(0, 60).Select(i => new StoredAttempt
            {
                Webhook = i % 10 == 9 ? other : webhook,
                Id = $"att_{i:d3}",
                MessageId = $"msg_{i % 4}",
                Ref = i == 0 ? default : Ref(i),
                Number = i,
                At = Now - (long)TimeSpan.FromHours(3 * (i / 2)).TotalMilliseconds,
                DurationMs = i,
                Status = i % 3 == 0 ? 500 : 200,
                Error = i % 3 == 0 ? WebhookErrorClass.Connect : WebhookErrorClass.None,
                Detail = i % 3 == 0 ? "d\0etail" : null,
                Answer = i == 1 ? "ä\0😀" : null,
                AnswerClipped = i == 1,
            }),
        ];
        await Task.WhenAll(attempts.Chunk(7).Select(c => Store.AddAttemptsAsync(c).AsTask()));
        await Store.AddAttemptsAsync([.. attempts.Take(5)]);
        await ReopenAsync();

        StoredAttempt[] own = [.. attempts.Where(a => a.Webhook == webhook).OrderByDescending(a => a.At).ThenByDescending(a => a.Id, StringComparer.Ordinal)];
        await CheckAsync(webhook, own, new AttemptQuery());
        await CheckAsync(webhook, [.. own.Where(a => a.Succeeded)], new AttemptQuery { Succeeded = true });
        await CheckAsync(webhook, [.. own.Where(a => !a.Succeeded)], new AttemptQuery { Succeeded = false });
        await CheckAsync(webhook, [.. own.Where(a => a.MessageId == "msg_2")], new AttemptQuery { MessageId = "msg_2" });
        await CheckAsync(webhook, [.. own.Where(a => a.MessageId == "msg_2" && !a.Succeeded)], new AttemptQuery { MessageId = "msg_2", Succeeded = false });
        var since = Now - (long)TimeSpan.FromHours(30).TotalMilliseconds;
        await CheckAsync(webhook, [.. own.Where(a => a.At >= since)], new AttemptQuery { Since = since });
        await CheckAsync(webhook, [.. own.Where(a => a.At >= since && !a.Succeeded)], new AttemptQuery { Since = since, Succeeded = false });
        await CheckAsync(webhook, [], new AttemptQuery { MessageId = "msg_" });

        // By whole days; what is left may be up to a day older.
        await Store.DropAttemptsAsync(Time.GetUtcNow() - TimeSpan.FromHours(40));
        var left = (await Store.ListAttemptsAsync(webhook, new AttemptQuery { Limit = 1000 })).Attempts;
        var kept = Now - (long)TimeSpan.FromHours(40).TotalMilliseconds;
        Assert.Equal(own.Where(a => a.At >= kept), left.Where(a => a.At >= kept));
        Assert.DoesNotContain(left, a => a.At < kept - (long)TimeSpan.FromDays(1).TotalMilliseconds);
        await Store.DropAttemptsAsync(Time.GetUtcNow() - TimeSpan.FromHours(40));
        await Store.AddAttemptsAsync([attempts[0] with { Id = "att_new" }]);
        Assert.Equal("att_new", (await Store.ListAttemptsAsync(webhook, new AttemptQuery { Limit = 1 })).Attempts[0].Id);
    }

    [Fact]
    public async Task Attempts_that_are_written_together_are_found_one_by_one()
    {
        var (webhook, other) = (await CreateAsync("wh_1", "*"), await CreateAsync("wh_2", "*"));
        for (var seed = 0; seed < 6; seed++)
        {
            var attempts = await WriteInterleavedAsync(new Random(seed), webhook, other, seed);
            await ReopenAsync();
            foreach (var id in (WebhookId[])[webhook, other])
            {
                StoredAttempt[] own = [.. Sorted(attempts.Where(a => a.Webhook == id))];
                await CheckAsync(id, own, Of(seed), limit: 3 + (seed * 5));
                await CheckAsync(id, [.. own.Where(a => a.Succeeded)], Of(seed) with { Succeeded = true });
                await CheckAsync(id, [.. own.Where(a => !a.Succeeded)], Of(seed) with { Succeeded = false });
                foreach (var message in own.Select(a => a.MessageId).Distinct().Where((_, i) => i % 11 == 0))
                {
                    await CheckAsync(id, [.. own.Where(a => a.MessageId == message)], new AttemptQuery { MessageId = message }, limit: 1);
                    await CheckAsync(
                        id, [.. own.Where(a => a.MessageId == message && !a.Succeeded)], new AttemptQuery { MessageId = message, Succeeded = false });
                }

                foreach (var at in own.Where((_, i) => i % 13 == 0).Select(a => a.At))
                {
                    await CheckAsync(id, [.. own.Where(a => a.At < at)], Of(seed) with { Before = new StoredPlace(at, null) }, limit: 40);
                    await CheckAsync(id, [.. own.Where(a => a.At >= at)], Of(seed) with { Since = at }, limit: 40);
                }
            }
        }

        // None hung for longer.
        AttemptQuery Of(int seed) => new() { Since = Week(seed) - 2_000 };
    }

    [Fact]
    public async Task Attempts_that_are_written_again_with_others_are_there_once()
    {
        var webhook = await CreateAsync("wh_1", "*");
        StoredAttempt[] attempts = [.. Enumerable.Range(1, 12).Select(i => Attempt(webhook, $"att_{i:d2}", Now + (i / 3), Ref(i), failed: i % 2 == 0))];
        await Store.AddAttemptsAsync(attempts);
        await Store.AddAttemptsAsync(attempts);

        // The newest of a batch without the others, others without it, one by one, backwards.
        await Store.AddAttemptsAsync([attempts[11]]);
        await Store.AddAttemptsAsync([attempts[11], attempts[3]]);
        await Store.AddAttemptsAsync([.. attempts.Take(5)]);
        await Store.AddAttemptsAsync([.. attempts.Skip(4).Reverse()]);
        foreach (var attempt in attempts) await Store.AddAttemptsAsync([attempt]);
        StoredAttempt[] expected = [.. Sorted(attempts)];
        foreach (var limit in (int[])[1, 5, 100])
        {
            await CheckAsync(webhook, expected, new AttemptQuery(), limit);
            await CheckAsync(webhook, [.. expected.Where(a => !a.Succeeded)], new AttemptQuery { Succeeded = false }, limit);
            await CheckAsync(webhook, [attempts[5]], new AttemptQuery { MessageId = attempts[5].MessageId }, limit);
        }
    }

    [Fact]
    public async Task A_page_of_attempts_looks_at_so_many_rows_and_tells_where_to_go_on()
    {
        // 30 attempts over three days, of one message; the oldest alone succeeded.
        var webhook = await CreateAsync("wh_1", "*");
        StoredAttempt[] attempts =
        [
            .. Enumerable.Range(0, 30).Select(i => new StoredAttempt
            {
                Webhook = webhook,
                Id = $"att_{i:d3}",
                MessageId = "msg_1",
                At = Now - (long)TimeSpan.FromHours(2 * (29 - i)).TotalMilliseconds,
                Error = i == 0 ? WebhookErrorClass.None : WebhookErrorClass.Status,
            }),
        ];
        await Store.AddAttemptsAsync(attempts);
        foreach (var query in new AttemptQuery[] { new() { Succeeded = true }, new() { Succeeded = true, MessageId = "msg_1" } })
        {
            var first = await Store.ListAttemptsAsync(webhook, query with { Limit = 4, MostRead = 8 });
            Assert.Empty(first.Attempts);
            Assert.Equal(new StoredPlace(attempts[22].At, attempts[22].Id), first.Next);
            var last = await Store.ListAttemptsAsync(webhook, query with { Limit = 4, MostRead = 8, Before = new StoredPlace(attempts[5].At, attempts[5].Id) });
            Assert.Equal([attempts[0]], last.Attempts);
            Assert.Equal(default, last.Next);

            // Nothing is lost where the last row that is looked at is one of those wanted.
            var exact = await Store.ListAttemptsAsync(webhook, query with { Limit = 4, MostRead = 30 });
            Assert.Equal([attempts[0]], exact.Attempts);
        }

        // What an index finds is not counted against those that it passes over.
        var failed = await Store.ListAttemptsAsync(webhook, new AttemptQuery { Succeeded = false, Limit = 4, MostRead = 8 });
        Assert.Equal([attempts[29], attempts[28], attempts[27], attempts[26]], failed.Attempts);
        Assert.Equal(new StoredPlace(attempts[26].At, attempts[26].Id), failed.Next);
    }

    /// <summary>Attempts of two subscriptions around a midnight, in batches that overlap in time; some of them are written twice.</summary>
    private async Task<List<StoredAttempt>> WriteInterleavedAsync(Random random, WebhookId webhook, WebhookId other, int seed)
    {
        var all = new List<StoredAttempt>();
        var start = Week(seed);
        for (var i = 0; i < 500; i++)
        {
            // Most within a few milliseconds of others; some hung for long.
            start += random.Next(3);
            var at = start - (random.Next(8) == 0 ? random.Next(2_000) : random.Next(15));
            var message = new MessageRef($"room:{random.Next(3)}", "e1", (seed * 1_000) + 1 + random.Next(i + 1));
            all.Add(Attempt(random.Next(4) == 0 ? other : webhook, $"att_{seed}{random.Next(1_000_000):d6}{i:d3}", at, message, random.Next(5) == 0));
        }

        var rest = all.AsEnumerable();
        while (rest.Any())
        {
            StoredAttempt[] batch = [.. rest.Take(1 + random.Next(50))];
            rest = rest.Skip(batch.Length);
            await Store.AddAttemptsAsync(batch);
            if (random.Next(4) == 0) await Store.AddAttemptsAsync(batch);
            if (random.Next(4) == 0) await Store.AddAttemptsAsync([.. batch.Where(_ => random.Next(2) == 0)]);
        }

        return all;
    }

    /// <summary>A quarter of a second before midnight.</summary>
    private long Week(int seed) => Now + (long)TimeSpan.FromDays(7 * seed).TotalMilliseconds + (long)TimeSpan.FromHours(12).TotalMilliseconds - 250;

    private static StoredAttempt Attempt(WebhookId webhook, string id, long at, MessageRef message, bool failed) => new()
    {
        Webhook = webhook,
        Id = id,
        MessageId = message.ToId(),
        Ref = message,
        Number = 1,
        At = at,
        DurationMs = 7,
        Status = failed ? 500 : 200,
        Error = failed ? WebhookErrorClass.Status : WebhookErrorClass.None,
        Detail = failed ? "The endpoint answered 500." : null,
        Answer = failed ? $"😀 {id} 😁" : null,
    };

    private static IEnumerable<StoredAttempt> Sorted(IEnumerable<StoredAttempt> attempts) =>
        attempts.OrderByDescending(a => a.At).ThenByDescending(a => a.Id, StringComparer.Ordinal);

    /// <summary>Compares what is found page by page.</summary>
    private async Task CheckAsync(WebhookId webhook, StoredAttempt[] expected, AttemptQuery query, int limit = 4)
    {
        // Some pages have as many as are wanted, others what was found among so many.
        foreach (var mostRead in (int[])[2_000, limit + 1])
        {
            var found = new List<StoredAttempt>();
            var asked = query with { Limit = limit, MostRead = mostRead };
            do
            {
                var page = await Store.ListAttemptsAsync(webhook, asked);
                Assert.InRange(page.Attempts.Count, 0, limit);
                found.AddRange(page.Attempts);
                asked = asked with { Before = page.Next };
            }
            while (asked.Before != default);

            Assert.Equal(expected, found);
        }
    }
}

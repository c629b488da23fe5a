using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Store;
using Xunit;

namespace Grid.Testing.Webhooks;

// What a page of attempts may cost.
public abstract partial class WebhookStoreConformance
{
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
}

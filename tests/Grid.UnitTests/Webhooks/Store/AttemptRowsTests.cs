using System.Text;
using Grid.Server.Log;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Store;
using Grid.Server.Webhooks.Store.RocksDb;
using Grid.UnitTests.Log;

namespace Grid.UnitTests.Webhooks.Store;

/// <summary>How the embedded store lays attempts out, and that it reads what earlier builds wrote.</summary>
public sealed class AttemptRowsTests
{
    private const long Midnight = 20_000L * 24 * 3_600_000;

    private static readonly WebhookId Webhook = new("acme", "wh_1");

    [Fact]
    public void Attempts_that_are_written_together_share_a_row_and_one_in_each_index()
    {
        StoredAttempt[] attempts = [.. Enumerable.Range(256, 60).Select(i => Attempt(i, Midnight + i))];
        var rows = AttemptRows.Of(attempts);
        Assert.Equal("ap", Kinds(rows));
        Assert.Equal(attempts.Reverse(), AttemptListRecord.Read(Webhook, rows[0].Value));
        Assert.Equal([0, 59], rows[1].Value);

        // About what an attempt by itself takes for its key alone.
        Assert.InRange(rows[0].Value.Length, 1, 40 * attempts.Length);

        // With failures, of two subscriptions, of two blocks, of no message.
        attempts[0] = attempts[0] with { Error = WebhookErrorClass.Connect };
        Assert.Equal("apf", Kinds(AttemptRows.Of(attempts)));
        Assert.Equal("apap", Kinds(AttemptRows.Of([attempts[1], attempts[2] with { Webhook = new("acme", "wh_2") }, attempts[3]])));
        Assert.Equal("app", Kinds(AttemptRows.Of([Attempt(255, Midnight), Attempt(256, Midnight)])));
        Assert.Equal("amm", Kinds(AttemptRows.Of([attempts[1] with { Ref = default, MessageId = "evt_1" }, attempts[2] with { MessageId = "evt_2" }])));
        Assert.Empty(AttemptRows.Of([]));
    }

    [Fact]
    public void A_row_has_one_day_a_short_span_and_a_bounded_size()
    {
        Assert.Equal("apap", Kinds(AttemptRows.Of([Attempt(1, Midnight - 1), Attempt(2, Midnight)])));
        Assert.Equal("ap", Kinds(AttemptRows.Of([Attempt(1, Midnight), Attempt(2, Midnight + AttemptRows.MaxSpanMs)])));
        Assert.Equal("apap", Kinds(AttemptRows.Of([Attempt(1, Midnight), Attempt(2, Midnight + AttemptRows.MaxSpanMs + 1)])));
        var many = AttemptRows.Of([.. Enumerable.Range(0, 200).Select(i => Attempt(i, Midnight))]);
        Assert.Equal([72, 128], many.Where(r => r.Key[4] == 'a').Select(r => AttemptListRecord.Read(Webhook, r.Value).Length).Order());
        var large = AttemptRows.Of([.. Enumerable.Range(0, 20).Select(i => Attempt(i, Midnight) with { Answer = new string((char)('a' + i), 4_096) })]);
        Assert.All(large.Where(r => r.Key[4] == 'a'), r => Assert.InRange(r.Value.Length, 1, 16 * 1024));
        Assert.Single(AttemptRows.Of([Attempt(1, Midnight) with { Answer = new string('a', 100_000) }]), r => r.Key[4] == 'a');
    }

    [Fact]
    public void The_same_attempts_make_the_same_rows_and_others_never_take_their_place()
    {
        StoredAttempt[] attempts = [.. Enumerable.Range(1, 9).Select(i => Attempt(i, Midnight + (i / 4)))];
        Assert.Equal(AttemptRows.Of(attempts).SelectMany(r => r.Key), AttemptRows.Of([.. attempts.Reverse()]).SelectMany(r => r.Key));
        Assert.NotEqual(AttemptRows.Of(attempts)[0].Key, AttemptRows.Of([.. attempts.Skip(1)])[0].Key);
    }

    [Fact]
    public void A_list_that_is_none_is_refused()
    {
        var record = AttemptRows.Of([Attempt(1, Midnight) with { Answer = "a" }, Attempt(2, Midnight) with { Answer = "ab" }])[0].Value;
        for (var length = 0; length < record.Length; length++)
            Assert.Throws<InvalidDataException>(() => AttemptListRecord.Read(Webhook, record.AsSpan(0, length)));
        record[0] = 3;
        Assert.Throws<InvalidDataException>(() => AttemptListRecord.Read(Webhook, record));
    }

    [Fact]
    public void Texts_come_back_from_what_they_share()
    {
        string[] texts = ["", "a", "aa", "aaa", "aba", "a😀b", "a😁b", "😀", "😁", "😀😁", "a\0b", "ä"];
        foreach (var (text, other) in texts.SelectMany(_ => texts, (text, other) => (text, other)))
        {
            var writer = new RecordWriter();
            writer.TextLike(text, other);
            var reader = new RecordReader(writer.Written);
            Assert.Equal(text, reader.TextLike(other));
            Assert.True(reader.AtEnd);
        }
    }

    [Fact]
    public async Task Rows_of_single_attempts_that_were_written_before_are_listed_among_the_others()
    {
        using var folder = new TempFolder();
        await using var log = Logs.Open(folder.Path);
        var store = new RocksDbWebhookStore(log);
        StoredAttempt[] attempts =
        [
            .. Enumerable.Range(0, 90).Select(i => Attempt(1 + (i % 30), Midnight + (i * 7) - 200) with
            {
                Id = $"att_{i:d3}", Error = i % 4 == 0 ? WebhookErrorClass.Timeout : WebhookErrorClass.None,
            }),
        ];

        // Every third as it was, two of them as both.
        foreach (var attempt in attempts.Where((_, i) => i % 3 == 0)) WriteSingle(log, attempt);
        foreach (var batch in attempts.Where((_, i) => i % 3 != 0 || i is 3 or 30).Chunk(11)) await store.AddAttemptsAsync(batch);

        foreach (var limit in (int[])[1, 7, 200])
        {
            await CheckAsync(new AttemptQuery { Limit = limit }, _ => true);
            await CheckAsync(new AttemptQuery { Limit = limit, Succeeded = false }, a => !a.Succeeded);
            await CheckAsync(new AttemptQuery { Limit = limit, Since = Midnight }, a => a.At >= Midnight);
            foreach (var message in attempts.Take(4).Select(a => a.MessageId))
                await CheckAsync(new AttemptQuery { Limit = limit, MessageId = message }, a => a.MessageId == message);
        }

        await store.DropAttemptsAsync(DateTimeOffset.FromUnixTimeMilliseconds(Midnight));
        await CheckAsync(new AttemptQuery(), a => a.At >= Midnight);

        async Task CheckAsync(AttemptQuery query, Func<StoredAttempt, bool> wanted)
        {
            var found = new List<StoredAttempt>();
            do
            {
                var page = await store.ListAttemptsAsync(Webhook, query);
                found.AddRange(page.Attempts);
                query = query with { Before = page.Next };
            }
            while (query.Before != default);

            Assert.Equal(attempts.Where(wanted).Reverse(), found);
        }
    }

    private static string Kinds(List<(byte[] Key, byte[] Value)> rows) => string.Concat(rows.Select(r => (char)r.Key[4]));

    private static StoredAttempt Attempt(long offset, long at)
    {
        var message = new MessageRef("room:1", "abcdefghijklmnop", offset);
        return new StoredAttempt
        {
            Webhook = Webhook,
            Id = $"att_{at:x12}{offset:x8}abcdef01",
            MessageId = message.ToId(),
            Ref = message,
            Number = 1,
            At = at,
            DurationMs = 3,
            Status = 200,
        };
    }

    /// <summary>The rows of one attempt in the form of version 1: itself, one by its message, and one if it failed.</summary>
    private static void WriteSingle(RocksDbMessageLog log, StoredAttempt attempt)
    {
        using var lease = log.Store.Lease();
        var (day, own) = (AttemptRowKeys.Day(attempt.At), WebhookRowKeys.Own(Webhook));
        Put(AttemptRowKeys.Key(day, AttemptRowKeys.Main, own), WebhookRowRecords.ToBytes(attempt));
        Put(AttemptRowKeys.Key(day, AttemptRowKeys.ByMessage, own, AttemptRowKeys.OfMessage(attempt.MessageId)), []);
        if (!attempt.Succeeded) Put(AttemptRowKeys.Key(day, AttemptRowKeys.Failed, own), []);

        void Put(byte[] start, byte[] value)
        {
            byte[] key = [.. start, .. WebhookRowKeys.Number(attempt.At), .. Encoding.UTF8.GetBytes(attempt.Id)];
            lease.Database.Db.Put(key, value, lease.Database.Attempts.Handle);
        }
    }
}

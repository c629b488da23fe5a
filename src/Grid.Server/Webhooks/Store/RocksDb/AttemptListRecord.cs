using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>
/// The stored form of attempts of one subscription, the newest first. Their texts are told by what they have in common with the one before,
/// since they are much alike. Version 2; version 1 is a single attempt (<see cref="WebhookRowRecords.ReadAttempt"/>).
/// </summary>
internal static class AttemptListRecord
{
    private const byte Version = 2;

    [Flags]
    private enum Has : byte
    {
        Ref = 1,
        Detail = 2,
        Answer = 4,
        Clipped = 8,
    }

    /// <summary>Writes attempts.</summary>
    /// <param name="writer">Where to.</param>
    /// <param name="attempts">One or more, the newest first; whose they are, is in the key.</param>
    public static void Write(RecordWriter writer, ReadOnlySpan<StoredAttempt> attempts)
    {
        var oldest = attempts[^1].At;
        writer.Byte(Version);
        writer.Number(oldest);
        writer.Number(attempts.Length);
        var last = new Texts();
        foreach (var attempt in attempts)
        {
            var has = (attempt.Ref.Channel is null ? 0 : Has.Ref) | (attempt.Detail is null ? 0 : Has.Detail)
                | (attempt.Answer is null ? 0 : Has.Answer) | (attempt.AnswerClipped ? Has.Clipped : 0);
            writer.Byte((byte)has);
            Like(attempt.Id, ref last.Id);
            Like(attempt.MessageId, ref last.MessageId);
            if (attempt.Ref.Channel is not null)
            {
                Like(attempt.Ref.Channel, ref last.Channel);
                Like(attempt.Ref.Epoch, ref last.Epoch);
                writer.Number(attempt.Ref.Offset);
            }

            writer.Number(attempt.Number);
            writer.Number(attempt.At - oldest);
            writer.Number(attempt.DurationMs);
            writer.Number(attempt.Status);
            writer.Number((int)attempt.Error);
            if (attempt.Detail is not null) Like(attempt.Detail, ref last.Detail);
            if (attempt.Answer is not null) Like(attempt.Answer, ref last.Answer);
        }

        void Like(string text, ref string other)
        {
            writer.TextLike(text, other);
            other = text;
        }
    }

    /// <summary>Reads attempts, the newest first, in either version.</summary>
    /// <exception cref="InvalidDataException">There are none.</exception>
    public static StoredAttempt[] Read(WebhookId webhook, ReadOnlySpan<byte> record)
    {
        if (record.IsEmpty || record[0] != Version) return [WebhookRowRecords.ReadAttempt(webhook, record)];
        var reader = new RecordReader(record[1..]);
        var oldest = reader.Number();
        var attempts = new StoredAttempt[reader.Length()];
        var last = new Texts();
        for (var i = 0; i < attempts.Length; i++)
        {
            var has = (Has)reader.Byte();
            attempts[i] = new StoredAttempt
            {
                Webhook = webhook,
                Id = last.Id = reader.TextLike(last.Id),
                MessageId = last.MessageId = reader.TextLike(last.MessageId),
                Ref = !has.HasFlag(Has.Ref)
                    ? default
                    : new MessageRef(last.Channel = reader.TextLike(last.Channel), last.Epoch = reader.TextLike(last.Epoch), reader.Number()),
                Number = (int)reader.Number(),
                At = oldest + reader.Number(),
                DurationMs = (int)reader.Number(),
                Status = (int)reader.Number(),
                Error = (WebhookErrorClass)reader.Number(),
                Detail = has.HasFlag(Has.Detail) ? last.Detail = reader.TextLike(last.Detail) : null,
                Answer = has.HasFlag(Has.Answer) ? last.Answer = reader.TextLike(last.Answer) : null,
                AnswerClipped = has.HasFlag(Has.Clipped),
            };
        }

        return attempts;
    }

    /// <summary>Whether all of a list began after a time, in Unix milliseconds; false if that is not known without reading them.</summary>
    /// <exception cref="InvalidDataException">It is no list.</exception>
    public static bool IsAfter(ReadOnlySpan<byte> record, long at) =>
        !record.IsEmpty && record[0] == Version && new RecordReader(record[1..]).Number() > at;

    /// <summary>The last text of each kind.</summary>
    private struct Texts()
    {
        public string Id = "";
        public string MessageId = "";
        public string Channel = "";
        public string Epoch = "";
        public string Detail = "";
        public string Answer = "";
    }
}

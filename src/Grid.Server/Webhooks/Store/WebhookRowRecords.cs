using Grid.Protocol;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;

namespace Grid.Server.Webhooks.Store;

/// <summary>The stored forms of what has no form of its own. Each begins with its version; fields are added by a new one.</summary>
internal static class WebhookRowRecords
{
    private const byte Version = 1;

    /// <summary>Writes a subscription's definition.</summary>
    public static byte[] ToBytes(StoredWebhook webhook)
    {
        var writer = Begin();
        writer.Number(webhook.Version);
        writer.Number(webhook.Channels.Count);
        foreach (var channel in webhook.Channels) writer.Text(channel);
        writer.Block(webhook.Definition.Span);
        writer.Block(webhook.Secrets.Span);
        return writer.Written.ToArray();
    }

    /// <summary>Reads a subscription's definition.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static StoredWebhook ReadWebhook(WebhookId id, ReadOnlySpan<byte> record)
    {
        var reader = Begin(record);
        var version = reader.Number();
        var channels = new string[reader.Length()];
        for (var i = 0; i < channels.Length; i++) channels[i] = reader.Text();
        return new StoredWebhook
        {
            Id = id, Version = version, Channels = channels, Definition = reader.Block().ToArray(), Secrets = reader.Block().ToArray(),
        };
    }

    /// <summary>Writes a place in a channel.</summary>
    public static byte[] ToBytes(Position position)
    {
        var writer = Begin();
        writer.Number(position.Offset);
        writer.Text(position.Epoch);
        return writer.Written.ToArray();
    }

    /// <summary>Reads a place in a channel.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static Position ReadPosition(ReadOnlySpan<byte> record)
    {
        var reader = Begin(record);
        var offset = reader.Number();
        return new Position(reader.Text(), offset);
    }

    /// <summary>Writes a header: when to wake, then the snapshot without its channels.</summary>
    public static byte[] ToBytes(WebhookSnapshot header, long? nextWake)
    {
        var writer = Begin();
        writer.Number(nextWake ?? WebhookWake.Never);
        writer.Block(SnapshotRecord.ToBytes(header with { Channels = [] }));
        return writer.Written.ToArray();
    }

    /// <summary>Reads a header.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static (WebhookSnapshot Header, long NextWake) ReadHeader(ReadOnlySpan<byte> record)
    {
        var reader = Begin(record);
        var nextWake = reader.Number();
        return (SnapshotRecord.Read(reader.Block()), nextWake);
    }

    /// <summary>Writes a parked message; its due time is in its key.</summary>
    public static byte[] ToBytes(ParkedRow row)
    {
        var writer = Begin();
        Write(writer, row.Ref);
        writer.Number(row.Attempts);
        return writer.Written.ToArray();
    }

    /// <summary>Reads a parked message.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static ParkedRow ReadParked(ReadOnlySpan<byte> record, long due)
    {
        var reader = Begin(record);
        return new ParkedRow(ReadRef(ref reader), (int)reader.Number(), due);
    }

    /// <summary>Writes a dead letter.</summary>
    public static byte[] ToBytes(StoredDeadLetter letter)
    {
        var writer = Begin();
        Write(writer, letter.Ref);
        writer.Number(letter.Attempts);
        writer.Number(letter.At);
        writer.OptionalText(letter.Failure);
        return writer.Written.ToArray();
    }

    /// <summary>Reads a dead letter.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static StoredDeadLetter ReadDeadLetter(ReadOnlySpan<byte> record)
    {
        var reader = Begin(record);
        return new StoredDeadLetter(ReadRef(ref reader), (int)reader.Number(), reader.Number(), reader.OptionalText());
    }

    /// <summary>Writes a truncation.</summary>
    public static byte[] ToBytes(StoredTruncation cut)
    {
        var writer = Begin();
        writer.Text(cut.Channel);
        writer.Text(cut.Epoch);
        writer.Number(cut.From);
        writer.Number(cut.To);
        writer.Number(cut.Count);
        writer.Byte((byte)cut.Reason);
        return writer.Written.ToArray();
    }

    /// <summary>Reads a truncation.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static StoredTruncation ReadTruncation(ReadOnlySpan<byte> record)
    {
        var reader = Begin(record);
        return new StoredTruncation(
            reader.Text(), reader.Text(), reader.Number(), reader.Number(), reader.Number(), (TruncationReason)reader.Byte());
    }

    /// <summary>Writes an attempt; whose it is, is in its key.</summary>
    public static byte[] ToBytes(StoredAttempt attempt)
    {
        var writer = Begin();
        writer.Text(attempt.Id);
        writer.Text(attempt.MessageId);
        writer.Byte(attempt.Ref.Channel is null ? (byte)0 : (byte)1);
        if (attempt.Ref.Channel is not null) Write(writer, attempt.Ref);
        writer.Number(attempt.Number);
        writer.Number(attempt.At);
        writer.Number(attempt.DurationMs);
        writer.Number(attempt.Status);
        writer.Number((int)attempt.Error);
        writer.OptionalText(attempt.Detail);
        writer.OptionalText(attempt.Answer);
        writer.Byte(attempt.AnswerClipped ? (byte)1 : (byte)0);
        return writer.Written.ToArray();
    }

    /// <summary>Reads an attempt.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static StoredAttempt ReadAttempt(WebhookId webhook, ReadOnlySpan<byte> record)
    {
        var reader = Begin(record);
        return new StoredAttempt
        {
            Webhook = webhook,
            Id = reader.Text(),
            MessageId = reader.Text(),
            Ref = reader.Byte() == 0 ? default : ReadRef(ref reader),
            Number = (int)reader.Number(),
            At = reader.Number(),
            DurationMs = (int)reader.Number(),
            Status = (int)reader.Number(),
            Error = (WebhookErrorClass)reader.Number(),
            Detail = reader.OptionalText(),
            Answer = reader.OptionalText(),
            AnswerClipped = reader.Byte() != 0,
        };
    }

    private static void Write(RecordWriter writer, MessageRef message)
    {
        writer.Text(message.Channel);
        writer.Text(message.Epoch);
        writer.Number(message.Offset);
    }

    private static MessageRef ReadRef(ref RecordReader reader) => new(reader.Text(), reader.Text(), reader.Number());

    private static RecordWriter Begin()
    {
        var writer = new RecordWriter();
        writer.Byte(Version);
        return writer;
    }

    private static RecordReader Begin(ReadOnlySpan<byte> record)
    {
        var reader = new RecordReader(record);
        var version = reader.Byte();
        return version == Version ? reader : throw new InvalidDataException($"A webhook's row has the unknown form {version}.");
    }
}

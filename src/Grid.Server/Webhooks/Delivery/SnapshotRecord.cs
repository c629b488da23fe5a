using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>
/// The stored form of a <see cref="WebhookSnapshot"/>. Version 1: the header (version, then its fields), then each channel's record
/// behind its length. A channel's record has a version of its own, so that it can be stored as a row of its own, too: a subscription
/// to very many channels then writes only those that changed. Offsets are stored as distances from the one before.
/// </summary>
internal static class SnapshotRecord
{
    private const byte HeaderVersion = 1;
    private const byte ChannelVersion = 1;

    /// <summary>Writes a snapshot.</summary>
    public static byte[] ToBytes(WebhookSnapshot snapshot)
    {
        var writer = new RecordWriter();
        WriteHeader(writer, snapshot);
        writer.Number(snapshot.Channels.Count);
        foreach (var channel in snapshot.Channels) writer.Block(ToBytes(channel));
        return writer.Written.ToArray();
    }

    /// <summary>Writes a channel.</summary>
    public static byte[] ToBytes(ProgressRecord channel)
    {
        var writer = new RecordWriter();
        writer.Byte(ChannelVersion);
        writer.Text(channel.Channel);
        writer.Text(channel.Floor.Epoch);
        writer.Number(channel.Floor.Offset);
        writer.Byte(channel.IsBehind ? (byte)1 : (byte)0);
        WriteRanges(writer, channel.Floor.Offset, channel.Ranges);
        writer.Number(channel.Parked.Count);
        var last = channel.Floor.Offset;
        foreach (var parked in channel.Parked)
        {
            writer.Number(parked.Offset - last);
            writer.Number(parked.Attempts);
            writer.Number(parked.Due);
            writer.OptionalText(parked.Lane);
            last = parked.Offset;
        }

        return writer.Written.ToArray();
    }

    /// <summary>Reads a snapshot.</summary>
    /// <exception cref="InvalidDataException">It is not what <see cref="ToBytes(WebhookSnapshot)"/> writes.</exception>
    public static WebhookSnapshot Read(ReadOnlySpan<byte> bytes)
    {
        var reader = new RecordReader(bytes);
        var snapshot = ReadHeader(ref reader);
        var channels = new ProgressRecord[reader.Length()];
        for (var i = 0; i < channels.Length; i++) channels[i] = ReadChannel(reader.Block());
        return reader.AtEnd
            ? snapshot with { Channels = channels }
            : throw new InvalidDataException("A webhook's record is longer than what it says.");
    }

    /// <summary>Reads a channel.</summary>
    /// <exception cref="InvalidDataException">It is not what <see cref="ToBytes(ProgressRecord)"/> writes.</exception>
    public static ProgressRecord ReadChannel(ReadOnlySpan<byte> bytes)
    {
        var reader = new RecordReader(bytes);
        Check(reader.Byte(), ChannelVersion, "A channel in a webhook's record");
        var (name, floor) = (reader.Text(), new Position(reader.Text(), reader.Number()));
        var behind = reader.Byte() != 0;
        var ranges = ReadRanges(ref reader, floor.Offset);
        var parked = new ParkedRecord[reader.Length()];
        var last = floor.Offset;
        for (var i = 0; i < parked.Length; i++)
        {
            last += reader.Number();
            parked[i] = new ParkedRecord(last, Int(reader.Number()), reader.Number(), reader.OptionalText());
        }

        return reader.AtEnd
            ? new ProgressRecord(name, floor, ranges, parked, behind)
            : throw new InvalidDataException("A channel in a webhook's record is longer than what it says.");
    }

    private static void WriteHeader(RecordWriter writer, WebhookSnapshot snapshot)
    {
        writer.Byte(HeaderVersion);
        writer.Number(snapshot.Generation);
        writer.Byte((byte)snapshot.Status);
        writer.Byte((byte)snapshot.Reason);
        writer.Number(snapshot.Window);
        writer.Number(snapshot.HeldUntil);
        writer.Number(snapshot.HeldSince);
        writer.Number(snapshot.Circuit.OpenedAt);
        writer.Number(snapshot.Circuit.ProbeAt);
        writer.Number(snapshot.Circuit.BackoffMs);
        writer.Number(snapshot.StoredDue);
        writer.Byte(snapshot.Replay is null ? (byte)0 : (byte)1);
        if (snapshot.Replay is not { } replay) return;
        writer.Text(replay.Id);
        writer.Number((long)Math.Ceiling(replay.PerSecond * 1000));
        writer.Number(replay.Delivered);
        writer.Number(replay.Failed);
        writer.Number(replay.Channels.Count);
        foreach (var channel in replay.Channels)
        {
            writer.Text(channel.Channel);
            writer.Text(channel.Floor.Epoch);
            writer.Number(channel.Floor.Offset);
            writer.Number(channel.To);
            WriteRanges(writer, channel.Floor.Offset, channel.Ranges);
        }
    }

    private static WebhookSnapshot ReadHeader(ref RecordReader reader)
    {
        Check(reader.Byte(), HeaderVersion, "A webhook's record");
        return new WebhookSnapshot
        {
            Generation = reader.Number(),
            Status = Known((WebhookStatus)reader.Byte()),
            Reason = Known((DisabledReason)reader.Byte()),
            Window = Int(reader.Number()),
            HeldUntil = reader.Number(),
            HeldSince = reader.Number(),
            Circuit = new CircuitRecord(reader.Number(), reader.Number(), reader.Number()),
            StoredDue = reader.Number(),
            Replay = reader.Byte() == 0 ? null : ReadReplay(ref reader),
        };
    }

    private static ReplayRecord ReadReplay(ref RecordReader reader)
    {
        var (id, perSecond, delivered, failed) = (reader.Text(), reader.Number() / 1000.0, reader.Number(), reader.Number());
        var channels = new ReplayChannelRecord[reader.Length()];
        for (var i = 0; i < channels.Length; i++)
        {
            var (name, floor, to) = (reader.Text(), new Position(reader.Text(), reader.Number()), reader.Number());
            channels[i] = new ReplayChannelRecord(name, floor, to, ReadRanges(ref reader, floor.Offset));
        }

        return new ReplayRecord(id, perSecond, delivered, failed, channels);
    }

    private static void WriteRanges(RecordWriter writer, long last, IReadOnlyList<OffsetRange> ranges)
    {
        writer.Number(ranges.Count);
        foreach (var range in ranges)
        {
            writer.Number(range.From - last);
            writer.Number(range.To - range.From);
            last = range.To;
        }
    }

    private static OffsetRange[] ReadRanges(ref RecordReader reader, long last)
    {
        var ranges = new OffsetRange[reader.Length()];
        for (var i = 0; i < ranges.Length; i++)
        {
            var from = last + reader.Number();
            last = from + reader.Number();
            ranges[i] = new OffsetRange(from, last);
        }

        return ranges;
    }

    private static void Check(byte version, byte known, string what)
    {
        if (version != known) throw new InvalidDataException($"{what} has the unknown form {version}.");
    }

    private static T Known<T>(T value)
        where T : struct, Enum =>
        Enum.IsDefined(value) ? value : throw new InvalidDataException($"A webhook's record has an unknown {typeof(T).Name}.");

    private static int Int(long number) =>
        number <= int.MaxValue ? (int)number : throw new InvalidDataException("A number in a webhook's record is too large.");
}

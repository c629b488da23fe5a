using System.Buffers.Text;
using Grid.Protocol;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>Names a message of a tenant.</summary>
/// <param name="Channel">The channel's name.</param>
/// <param name="Epoch">The epoch of the offset.</param>
/// <param name="Offset">Its place in the channel.</param>
internal readonly record struct MessageRef(string Channel, string Epoch, long Offset)
{
    /// <summary>The start of every message id.</summary>
    public const string IdPrefix = "msg_";

    private const byte IdVersion = 1;

    /// <summary>
    /// The <c>webhook-id</c> of the message: the same for every attempt, every subscription and after every crash, since it is made of
    /// nothing but what names the message. It can be read back (<see cref="TryParseId"/>), so a message is found by it without an
    /// index. No dot is in it: the signed content of Standard Webhooks is separated by dots.
    /// </summary>
    public string ToId()
    {
        var writer = new RecordWriter();
        writer.Byte(IdVersion);
        writer.Number(Offset);
        writer.Text(Epoch);
        writer.Text(Channel);
        return IdPrefix + Base64Url.EncodeToString(writer.Written);
    }

    /// <summary>Reads the form of <see cref="ToId"/>.</summary>
    public static bool TryParseId(ReadOnlySpan<char> id, out MessageRef message)
    {
        message = default;
        if (!id.StartsWith(IdPrefix, StringComparison.Ordinal) || id.Length > 512) return false;
        try
        {
            var reader = new RecordReader(Base64Url.DecodeFromChars(id[IdPrefix.Length..]));
            if (reader.Byte() != IdVersion) return false;
            var (offset, epoch, channel) = (reader.Number(), reader.Text(), reader.Text());
            message = new MessageRef(channel, epoch, offset);

            // Only the one form that is written is an id: else a message had several.
            return reader.AtEnd && offset > 0 && epoch.Length is > 0 and <= Position.MaxEpochLength && ChannelName.IsValid(channel)
                && id.SequenceEqual(message.ToId());
        }
        catch (Exception e) when (e is FormatException or InvalidDataException)
        {
            return false;
        }
    }
}

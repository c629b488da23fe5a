using System.Buffers.Binary;
using System.Text;
using Grid.Server.Webhooks.Delivery;

namespace Grid.Server.Webhooks.Store.RocksDb;

/// <summary>What a row of a subscription is; the byte after the subscription in its key.</summary>
internal enum WebhookRow : byte
{
    /// <summary>By channel: <see cref="ProgressRecord"/>.</summary>
    Channel = (byte)'c',

    /// <summary>The snapshot's header, and when to wake.</summary>
    Header = (byte)'h',

    /// <summary>By message: the time (8) under which its dead letter stands.</summary>
    DeadLetterAt = (byte)'k',

    /// <summary>By time (8) and message: <see cref="StoredDeadLetter"/>.</summary>
    DeadLetter = (byte)'l',

    /// <summary>By channel: the place of its mark.</summary>
    Mark = (byte)'m',

    /// <summary>By due time (8) and message: <see cref="ParkedRow"/>.</summary>
    Parked = (byte)'p',

    /// <summary>By message: the due time (8) under which it is parked.</summary>
    ParkedDue = (byte)'q',

    /// <summary>By channel, epoch and first offset: the key under which the truncation stands.</summary>
    TruncationAt = (byte)'t',

    /// <summary>By the time when it was stored (8), channel, epoch and first offset: <see cref="StoredTruncation"/>.</summary>
    Truncation = (byte)'u',
}

/// <summary>
/// Keys of webhooks in the embedded store. Definitions lie together, by tenant; all else of a subscription lies together, so that one
/// range removes it. Names hold no zero byte, so the parts of a key cannot run into one another.
/// </summary>
internal static class WebhookRowKeys
{
    private const byte DefinitionKind = (byte)'d';
    private const byte OwnKind = (byte)'s';

    /// <summary>The start of all definitions.</summary>
    public static byte[] Definitions { get; } = [DefinitionKind];

    /// <summary>The start of a tenant's definitions.</summary>
    public static byte[] DefinitionsOf(string tenant) => [DefinitionKind, .. Encoding.UTF8.GetBytes(tenant), 0];

    /// <summary>A definition's key.</summary>
    public static byte[] Definition(WebhookId webhook) => [.. DefinitionsOf(webhook.Tenant), .. Encoding.UTF8.GetBytes(webhook.Id)];

    /// <summary>Whose definition a key is.</summary>
    public static WebhookId ReadDefinition(ReadOnlySpan<byte> key)
    {
        var end = key.IndexOf((byte)0);
        return new WebhookId(Encoding.UTF8.GetString(key[1..end]), Encoding.UTF8.GetString(key[(end + 1)..]));
    }

    /// <summary>The start of all rows of a subscription but its definition.</summary>
    public static byte[] Own(WebhookId webhook) =>
        [OwnKind, .. Encoding.UTF8.GetBytes(webhook.Tenant), 0, .. Encoding.UTF8.GetBytes(webhook.Id), 0];

    /// <summary>The start of a subscription's rows of a kind, or the key of the only one.</summary>
    public static byte[] Of(WebhookId webhook, WebhookRow kind) => [.. Own(webhook), (byte)kind];

    /// <summary>The key of a row with a name.</summary>
    public static byte[] Of(WebhookId webhook, WebhookRow kind, string name) => [.. Of(webhook, kind), .. Encoding.UTF8.GetBytes(name)];

    /// <summary>The key of a row with a time and a name.</summary>
    public static byte[] Of(WebhookId webhook, WebhookRow kind, long time, string name) =>
        [.. Of(webhook, kind), .. Number(time), .. Encoding.UTF8.GetBytes(name)];

    /// <summary>A truncation's name.</summary>
    public static string Name(StoredTruncation cut) => $"{cut.Channel}\0{cut.Epoch}\0{cut.From:x16}";

    /// <summary>What comes after all keys with this start; its last byte is not 255.</summary>
    public static byte[] After(byte[] start)
    {
        var end = (byte[])start.Clone();
        end[^1]++;
        return end;
    }

    /// <summary>A number whose byte order is its order.</summary>
    public static byte[] Number(long value)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(bytes, value);
        return bytes;
    }
}

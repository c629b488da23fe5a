using System.Collections.Concurrent;

namespace Grid.Testing.History;

/// <summary>
/// Collects what publishers, consumers and the store say during a test, from any thread. When it is over,
/// <see cref="HistoryChecker.Check"/> judges it.
/// </summary>
public sealed class HistoryRecorder
{
    private readonly ConcurrentDictionary<(string Channel, string Identity), PublishRecord> _publishes = new();
    private readonly ConcurrentQueue<ConsumerRecord> _consumers = new();
    private readonly ConcurrentDictionary<string, StoredChannel> _stored = new(StringComparer.Ordinal);

    /// <summary>
    /// Whether the part of the server that stores is another process than the one that answers. Then a publish that its client sent
    /// once may be answered as a duplicate, of the server's own first try. Default: false.
    /// </summary>
    public bool IsDistributed { get; init; }

    /// <summary>Every publish.</summary>
    public IReadOnlyCollection<PublishRecord> Publishes => [.. _publishes.Values];

    /// <summary>Every consumer.</summary>
    public IReadOnlyCollection<ConsumerRecord> Consumers => [.. _consumers];

    /// <summary>The stored channels.</summary>
    public IReadOnlyDictionary<string, StoredChannel> StoredChannels => _stored;

    /// <summary>
    /// A message is published. Call <see cref="PublishRecord.Sending"/> on the result each time it is sent. The key must be unique on
    /// the channel; without a key the payload must be.
    /// </summary>
    public PublishRecord Publish(string publisher, string channel, string? key, long sequence, string payload)
    {
        var record = new PublishRecord(publisher, channel, key, sequence, payload);
        if (!_publishes.TryAdd((channel, record.Identity), record))
        {
            throw new ArgumentException($"The test itself used {record.Identity} twice on {channel}.", nameof(key));
        }

        return record;
    }

    /// <summary>A consumer begins.</summary>
    public ConsumerRecord Consumer(string name, string channel, CursorOwner owner, bool mayDrop = false)
    {
        var record = new ConsumerRecord(this, name, channel, owner) { MayDrop = mayDrop };
        _consumers.Enqueue(record);
        return record;
    }

    /// <summary>What the store has of a channel at the end.</summary>
    public void Stored(StoredChannel channel)
    {
        ArgumentNullException.ThrowIfNull(channel);
        _stored[channel.Channel] = channel;
    }

    /// <summary>The publisher's own copy of an equal payload, so that a million receipts do not keep a million strings.</summary>
    internal string Intern(string channel, string? key, string payload) =>
        _publishes.TryGetValue((channel, PublishRecord.IdentityOf(key, payload)), out var record) && record.Payload == payload
            ? record.Payload
            : payload;

    internal PublishRecord? Find(string channel, string? key, string payload) =>
        _publishes.GetValueOrDefault((channel, PublishRecord.IdentityOf(key, payload)));
}

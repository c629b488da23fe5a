using Grid.Abstractions;
using Grid.Server.Hosting;

namespace Grid.Server.Log;

/// <summary>Picks the log of a channel by its namespace's durability.</summary>
internal sealed class MessageLogs(IMessageLog durable, IMessageLog ephemeral, NamespacePolicies policies)
{
    /// <summary>Synced before an append is answered.</summary>
    public IMessageLog Durable { get; } = durable;

    /// <summary>In the memory of this silo.</summary>
    public IMessageLog Ephemeral { get; } = ephemeral;

    /// <summary>Who on this silo is told of appends.</summary>
    public AppendNotices Notices { get; } = new();

    /// <summary>Whether a channel is durable.</summary>
    public bool IsDurable(ChannelId channel) => policies.For(channel.Name).Durability == Durability.Durable;

    /// <summary>The log of a channel.</summary>
    public IMessageLog For(ChannelId channel) => IsDurable(channel) ? Durable : Ephemeral;
}

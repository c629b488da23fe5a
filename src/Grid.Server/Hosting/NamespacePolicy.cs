using System.Collections.Frozen;
using Grid.Protocol;
using Microsoft.Extensions.Options;

namespace Grid.Server.Hosting;

/// <summary>How a namespace keeps its messages.</summary>
public enum Durability
{
    /// <summary>Synced to disk (or to the database) before the publish is answered.</summary>
    Durable,

    /// <summary>The last messages are kept in memory on one silo, for resume within that silo's life.</summary>
    Ephemeral,
}

/// <summary>What happens to a subscription whose consumer does not keep up.</summary>
public enum SlowConsumerPolicy
{
    /// <summary>It reads on from the log at its own pace: nothing is lost but what retention takes.</summary>
    CatchUp,

    /// <summary>
    /// When it catches up, only the newest message of each key is delivered; what is skipped is announced by gaps. Keys are then no
    /// idempotency keys.
    /// </summary>
    Conflate,

    /// <summary>It skips to the head; what is skipped is announced by a gap.</summary>
    Drop,

    /// <summary>Its connection is closed with <see cref="CloseCode.TooSlow"/>.</summary>
    Disconnect,
}

/// <summary>The rules of a namespace: how its channels keep, limit and deliver messages.</summary>
public sealed class NamespacePolicy
{
    /// <summary>How messages are kept. Default: <see cref="Durability.Durable"/>.</summary>
    public Durability Durability { get; set; } = Durability.Durable;

    /// <summary>Messages older than this are removed. Default: 7 days. Null: age does not matter.</summary>
    public TimeSpan? MaxAge { get; set; } = TimeSpan.FromDays(7);

    /// <summary>The most messages that a channel keeps. Default: 1,000,000 (an ephemeral channel keeps at most 1,000). Null: no limit.</summary>
    public long? MaxMessages { get; set; } = 1_000_000;

    /// <summary>The most payload bytes that a channel keeps. Default: 1 GiB (an ephemeral channel: 1 MiB). Null: no limit.</summary>
    public long? MaxBytes { get; set; } = 1L << 30;

    /// <summary>Whether clients may read history (subscribe from the past, HTTP history). Resume works without it. Default: true.</summary>
    public bool History { get; set; } = true;

    /// <summary>The largest payload, in bytes. Default: 32 KiB. A WebSocket frame has its own limit, <see cref="GridOptions.MaxFrameBytes"/>.</summary>
    public int MaxMessageBytes { get; set; } = 32 * 1024;

    /// <summary>What happens to consumers that do not keep up. Default: <see cref="SlowConsumerPolicy.CatchUp"/>.</summary>
    public SlowConsumerPolicy SlowConsumer { get; set; } = SlowConsumerPolicy.CatchUp;

    /// <summary>How long idempotency keys are remembered. Default: 24 hours.</summary>
    public TimeSpan IdempotencyWindow { get; set; } = TimeSpan.FromHours(24);

    /// <summary>
    /// How long a key makes a publish idempotent here: <see cref="IdempotencyWindow"/>, but not at all where consumers are conflated.
    /// There a key names what a message is about (a player, a pointer), and comes again with every newer state of it.
    /// </summary>
    internal TimeSpan KeyWindow => SlowConsumer == SlowConsumerPolicy.Conflate ? TimeSpan.Zero : IdempotencyWindow;
}

/// <summary>Finds the policy of a channel by the namespace in its name; an unknown namespace has the policy <c>default</c>.</summary>
public sealed class NamespacePolicies
{
    private readonly NamespacePolicy _default;
    private readonly FrozenDictionary<string, NamespacePolicy>.AlternateLookup<ReadOnlySpan<char>> _byName;

    /// <summary>Reads the policies of the options.</summary>
    public NamespacePolicies(IOptions<GridOptions> options)
    {
        var all = options.Value.Namespaces.ToFrozenDictionary(StringComparer.Ordinal);
        _default = all.GetValueOrDefault(ChannelName.DefaultNamespace) ?? new NamespacePolicy();
        _byName = all.GetAlternateLookup<ReadOnlySpan<char>>();
        Named = all;
    }

    /// <summary>The policies of the namespaces that have their own.</summary>
    internal IReadOnlyDictionary<string, NamespacePolicy> Named { get; }

    /// <summary>The policy of the others.</summary>
    internal NamespacePolicy Default => _default;

    /// <summary>The policy of a channel.</summary>
    public NamespacePolicy For(ReadOnlySpan<char> channel) =>
        _byName.TryGetValue(ChannelName.NamespaceOf(channel), out var policy) ? policy : _default;
}

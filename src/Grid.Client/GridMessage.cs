using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Grid.Protocol;

namespace Grid.Client;

/// <summary>One message of a channel.</summary>
public sealed class GridMessage
{
    private readonly Message _message;

    internal GridMessage(string channel, string epoch, Message message) => (Channel, Epoch, _message) = (channel, epoch, message);

    /// <summary>The channel.</summary>
    public string Channel { get; }

    /// <summary>The channel's epoch.</summary>
    public string Epoch { get; }

    /// <summary>Rises by exactly 1 from message to message of an epoch, except after a gap.</summary>
    public long Offset => _message.Offset;

    /// <summary>Epoch and offset: what <see cref="StartPoint.After"/> takes to go on after this message.</summary>
    public Position Position => new(Epoch, Offset);

    /// <summary>When the server accepted it, by the server's clock, to the millisecond.</summary>
    public DateTimeOffset At => DateTimeOffset.FromUnixTimeMilliseconds(_message.At);

    /// <summary>What was published: JSON text in UTF-8, or opaque bytes.</summary>
    public Payload Payload => _message.Payload;

    /// <summary>The idempotency key of the publish, if it had one.</summary>
    public string? Key => _message.Key;

    /// <summary>The kind of event, if the publisher named one.</summary>
    public string? Event => _message.Event;

    /// <summary>The user who published it; null for a publish by API key.</summary>
    public string? From => _message.From;

    /// <summary>Reads the JSON payload.</summary>
    /// <exception cref="InvalidOperationException">The payload is binary.</exception>
    /// <exception cref="JsonException">The JSON is no <typeparamref name="T"/>.</exception>
    public T? Json<T>(JsonTypeInfo<T> typeInfo) => JsonSerializer.Deserialize(JsonBytes, typeInfo);

    /// <summary>Reads the JSON payload by reflection; property names as <see cref="JsonSerializerDefaults.Web"/> has them.</summary>
    /// <exception cref="InvalidOperationException">The payload is binary.</exception>
    /// <exception cref="JsonException">The JSON is no <typeparamref name="T"/>.</exception>
    [RequiresUnreferencedCode("Serializes by reflection; give a JsonTypeInfo where code is trimmed.")]
    [RequiresDynamicCode("Serializes by reflection; give a JsonTypeInfo where code is compiled ahead of time.")]
    public T? Json<T>() => JsonSerializer.Deserialize<T>(JsonBytes, JsonSerializerOptions.Web);

    private ReadOnlySpan<byte> JsonBytes => Payload.IsBinary
        ? throw new InvalidOperationException("The payload is binary, not JSON.")
        : Payload.Bytes.Span;
}

/// <summary>Offsets that will never be delivered. The next message of the channel is <see cref="To"/> + 1.</summary>
/// <param name="Channel">The channel.</param>
/// <param name="Epoch">The epoch of the offsets and of what follows; a new one when <paramref name="Reason"/> is <c>Epoch</c>.</param>
/// <param name="From">The first offset missing.</param>
/// <param name="To">The last offset missing; <c>From - 1</c> when a new epoch misses none.</param>
/// <param name="Reason">Why.</param>
public sealed record GridGap(string Channel, string Epoch, long From, long To, GapReason Reason);

using Grid.Protocol;

namespace Grid.Abstractions;

/// <summary>How a <see cref="Message"/> travels between silos: the protocol assembly knows nothing of Orleans.</summary>
[GenerateSerializer, Immutable, Alias("grid.Message")]
public struct MessageSurrogate
{
    /// <summary>See <see cref="Message.Offset"/>.</summary>
    [Id(0)] public long Offset { get; set; }

    /// <summary>See <see cref="Message.At"/>.</summary>
    [Id(1)] public long At { get; set; }

    /// <summary>See <see cref="Payload.Bytes"/>.</summary>
    [Id(2)] public ReadOnlyMemory<byte> Data { get; set; }

    /// <summary>See <see cref="Payload.IsBinary"/>.</summary>
    [Id(3)] public bool IsBinary { get; set; }

    /// <summary>See <see cref="Message.Key"/>.</summary>
    [Id(4)] public string? Key { get; set; }

    /// <summary>See <see cref="Message.Event"/>.</summary>
    [Id(5)] public string? Event { get; set; }

    /// <summary>See <see cref="Message.From"/>.</summary>
    [Id(6)] public string? From { get; set; }
}

/// <summary>Converts between <see cref="Message"/> and <see cref="MessageSurrogate"/>.</summary>
[RegisterConverter]
public sealed class MessageConverter : IConverter<Message, MessageSurrogate>
{
    /// <inheritdoc/>
    public Message ConvertFromSurrogate(in MessageSurrogate surrogate) => new()
    {
        Offset = surrogate.Offset,
        At = surrogate.At,
        Payload = new Payload(surrogate.Data, surrogate.IsBinary),
        Key = surrogate.Key,
        Event = surrogate.Event,
        From = surrogate.From,
    };

    /// <inheritdoc/>
    public MessageSurrogate ConvertToSurrogate(in Message value) => new()
    {
        Offset = value.Offset,
        At = value.At,
        Data = value.Payload.Bytes,
        IsBinary = value.Payload.IsBinary,
        Key = value.Key,
        Event = value.Event,
        From = value.From,
    };
}

/// <summary>How a <see cref="Position"/> travels between silos.</summary>
[GenerateSerializer, Immutable, Alias("grid.Position")]
public struct PositionSurrogate
{
    /// <summary>See <see cref="Position.Epoch"/>.</summary>
    [Id(0)] public string Epoch { get; set; }

    /// <summary>See <see cref="Position.Offset"/>.</summary>
    [Id(1)] public long Offset { get; set; }
}

/// <summary>Converts between <see cref="Position"/> and <see cref="PositionSurrogate"/>.</summary>
[RegisterConverter]
public sealed class PositionConverter : IConverter<Position, PositionSurrogate>
{
    /// <inheritdoc/>
    public Position ConvertFromSurrogate(in PositionSurrogate surrogate) => new(surrogate.Epoch, surrogate.Offset);

    /// <inheritdoc/>
    public PositionSurrogate ConvertToSurrogate(in Position value) => new() { Epoch = value.Epoch, Offset = value.Offset };
}

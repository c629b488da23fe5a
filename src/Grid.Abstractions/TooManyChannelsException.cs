namespace Grid.Abstractions;

/// <summary>A webhook matches more channels than one request may move or replay; nothing was changed.</summary>
[GenerateSerializer, Alias("grid.TooManyChannelsException")]
public sealed class TooManyChannelsException : Exception
{
    /// <summary>Makes one.</summary>
    public TooManyChannelsException()
        : base("The webhook matches too many channels.")
    {
    }

    /// <summary>Makes one with a message.</summary>
    public TooManyChannelsException(string message)
        : base(message)
    {
    }

    /// <summary>Makes one with a message and a cause.</summary>
    public TooManyChannelsException(string message, Exception? inner)
        : base(message, inner)
    {
    }
}

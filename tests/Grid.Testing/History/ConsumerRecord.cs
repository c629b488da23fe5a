using Grid.Testing.Wire;

namespace Grid.Testing.History;

/// <summary>Whose cursors a consumer resumes with.</summary>
public enum CursorOwner
{
    /// <summary>Its own: nothing may ever reach the application's code twice.</summary>
    Client,

    /// <summary>The server's: after a resume, what was processed since the last checkpoint may come again.</summary>
    Server,
}

/// <summary>What happened to a consumer, in its order.</summary>
public enum ConsumerEventKind
{
    /// <summary>It was told a subscription's start: <c>subscribed</c>.</summary>
    Subscribed,

    /// <summary>It resumed and was told where its subscription goes on: <c>welcome</c>.</summary>
    Resumed,

    /// <summary>A message reached the application's code.</summary>
    Message,

    /// <summary>A gap was announced.</summary>
    Gap,

    /// <summary>The server is known to have written a checkpoint: no later resume may start before it.</summary>
    Checkpoint,

    /// <summary>The session or its subscription was gone.</summary>
    Lost,

    /// <summary>The consumer has seen all that it will; it must stand at the channel's head.</summary>
    Finished,
}

/// <summary>One event of a consumer.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Epoch">The epoch, where the frame carries one.</param>
/// <param name="Offset">The offset: of the message, the cursor, or the end of the gap.</param>
/// <param name="From">The beginning of a gap, or the offset that was asked for; -1 where neither applies.</param>
/// <param name="Text">The payload, the gap's reason, or the epoch that was asked for.</param>
/// <param name="Key">The message's key.</param>
public readonly record struct ConsumerEvent(ConsumerEventKind Kind, string? Epoch, long Offset, long From, string? Text, string? Key)
{
    /// <inheritdoc/>
    public override string ToString() => Kind switch
    {
        ConsumerEventKind.Message => $"message {Offset} key {Key ?? "(none)"} {PublishRecord.Shorten(Text ?? "")}",
        ConsumerEventKind.Gap => $"gap {From}..{Offset} {Text} epoch {Epoch}",
        ConsumerEventKind.Subscribed or ConsumerEventKind.Resumed =>
            $"{Kind} epoch {Epoch} cursor {Offset}{(From >= 0 ? $" (asked for {Text}:{From})" : "")}",
        ConsumerEventKind.Lost => $"lost: {Text}",
        _ => $"{Kind} {Offset}",
    };
}

/// <summary>One consumer of one channel, as it saw the channel: across all its connections.</summary>
public sealed class ConsumerRecord
{
    private readonly Lock _gate = new();
    private readonly List<ConsumerEvent> _events = [];
    private readonly HistoryRecorder _recorder;

    internal ConsumerRecord(HistoryRecorder recorder, string name, string channel, CursorOwner owner)
    {
        _recorder = recorder;
        Name = name;
        Channel = channel;
        Owner = owner;
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>The channel.</summary>
    public string Channel { get; }

    /// <summary>Whose cursors it resumes with.</summary>
    public CursorOwner Owner { get; }

    /// <summary>Whether the channel's policy may drop messages of a slow consumer (gaps with reason <c>dropped</c>).</summary>
    public bool MayDrop { get; init; }

    /// <summary>The consumer's own cursor: the last message or gap it was given; null before it was told a start.</summary>
    public RawPosition? Position { get; private set; }

    /// <summary>How many messages it was given.</summary>
    public long Received { get; private set; }

    /// <summary>A copy of the events.</summary>
    public IReadOnlyList<ConsumerEvent> Events
    {
        get
        {
            lock (_gate) return [.. _events];
        }
    }

    /// <summary><c>subscribed</c> came.</summary>
    /// <param name="epoch">The frame's epoch.</param>
    /// <param name="cursor">The frame's cursor.</param>
    /// <param name="asked">The position that was asked for, if one was.</param>
    public void Subscribed(string epoch, long cursor, RawPosition? asked = null)
    {
        Add(new(ConsumerEventKind.Subscribed, epoch, cursor, asked?.Offset ?? -1, asked?.Epoch, null));
        Position = asked ?? new RawPosition(epoch, cursor);
    }

    /// <summary><c>welcome</c> said that the subscription goes on.</summary>
    public void Resumed(string epoch, long cursor)
    {
        var asked = Owner == CursorOwner.Client ? Position : null;
        Add(new(ConsumerEventKind.Resumed, epoch, cursor, asked?.Offset ?? -1, asked?.Epoch, null));
        if (Owner == CursorOwner.Server) Position = new RawPosition(epoch, cursor);
    }

    /// <summary>A message reached the application's code.</summary>
    public void Message(long offset, string? key, string payload)
    {
        Add(new(ConsumerEventKind.Message, null, offset, -1, _recorder.Intern(Channel, key, payload), key));
        Position = new RawPosition(Position?.Epoch ?? "", offset);
        Received++;
    }

    /// <summary>A gap was announced.</summary>
    public void Gap(string epoch, long from, long to, string reason)
    {
        Add(new(ConsumerEventKind.Gap, epoch, to, from, reason, null));
        Position = new RawPosition(epoch, to);
    }

    /// <summary>The server is known to have stored a cursor of at least <paramref name="offset"/>.</summary>
    public void Checkpoint(long offset) => Add(new(ConsumerEventKind.Checkpoint, null, offset, -1, null, null));

    /// <summary>The session or the subscription was gone.</summary>
    public void Lost(string how) => Add(new(ConsumerEventKind.Lost, null, 0, -1, how, null));

    /// <summary>It is over; the consumer must have reached the head.</summary>
    public void Finished() => Add(new(ConsumerEventKind.Finished, null, Position?.Offset ?? -1, -1, null, null));

    private void Add(in ConsumerEvent e)
    {
        lock (_gate) _events.Add(e);
    }
}

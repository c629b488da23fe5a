namespace Grid.Testing.History;

/// <summary>An acknowledgement as the publisher got it.</summary>
/// <param name="Epoch">The epoch.</param>
/// <param name="Offset">The offset.</param>
/// <param name="Duplicate">Whether the server said that it had the message already.</param>
public readonly record struct Acknowledgement(string Epoch, long Offset, bool Duplicate);

/// <summary>One publish as its publisher saw it: one message, however often it was sent.</summary>
public sealed class PublishRecord
{
    private readonly Lock _gate = new();
    private readonly List<Acknowledgement> _acks = [];
    private readonly List<string> _refusals = [];

    internal PublishRecord(string publisher, string channel, string? key, long sequence, string payload)
    {
        Publisher = publisher;
        Channel = channel;
        Key = key;
        Sequence = sequence;
        Payload = payload;
    }

    /// <summary>Who published.</summary>
    public string Publisher { get; }

    /// <summary>Where.</summary>
    public string Channel { get; }

    /// <summary>With which key; null for none.</summary>
    public string? Key { get; }

    /// <summary>The place in the publisher's order on this channel.</summary>
    public long Sequence { get; }

    /// <summary>The payload.</summary>
    public string Payload { get; }

    /// <summary>How often it was sent.</summary>
    public int Attempts { get; private set; }

    /// <summary>How many of the attempts ended without an answer (the socket ended, or the server said that it does not know).</summary>
    public int Unknown { get; private set; }

    /// <summary>The acknowledgements.</summary>
    public IReadOnlyList<Acknowledgement> Acknowledgements
    {
        get
        {
            lock (_gate) return [.. _acks];
        }
    }

    /// <summary>The codes of the definite refusals.</summary>
    public IReadOnlyList<string> Refusals
    {
        get
        {
            lock (_gate) return [.. _refusals];
        }
    }

    /// <summary>It is about to be sent (again).</summary>
    public PublishRecord Sending()
    {
        lock (_gate) Attempts++;
        return this;
    }

    /// <summary>It was acknowledged.</summary>
    public void Acknowledged(string epoch, long offset, bool duplicate)
    {
        lock (_gate) _acks.Add(new Acknowledgement(epoch, offset, duplicate));
    }

    /// <summary>It was refused for good: the server promised that it is not stored.</summary>
    public void Refused(string code)
    {
        lock (_gate) _refusals.Add(code);
    }

    /// <summary>The attempt's outcome is unknown.</summary>
    public void OutcomeUnknown()
    {
        lock (_gate) Unknown++;
    }

    /// <summary>What makes two stored messages the same: the key, or without one the payload.</summary>
    internal string Identity => IdentityOf(Key, Payload);

    internal static string IdentityOf(string? key, string payload) => key is null ? "payload " + payload : "key " + key;

    /// <inheritdoc/>
    public override string ToString()
    {
        lock (_gate)
        {
            var acks = string.Join(", ", _acks.Select(a => $"acknowledged {a.Epoch}:{a.Offset}{(a.Duplicate ? " as duplicate" : "")}"));
            var refusals = string.Join(", ", _refusals.Select(r => $"refused {r}"));
            return $"publish {Sequence} of {Publisher} on {Channel}, key {Key ?? "(none)"}, payload {Shorten(Payload)}: sent {Attempts}×, "
                + $"unknown {Unknown}×{(acks.Length > 0 ? ", " + acks : "")}{(refusals.Length > 0 ? ", " + refusals : "")}";
        }
    }

    internal static string Shorten(string text) => text.Length <= 80 ? text : $"{text[..80]}… ({text.Length})";
}

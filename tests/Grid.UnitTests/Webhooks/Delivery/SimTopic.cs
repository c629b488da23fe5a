using System.Text;
using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.UnitTests.Webhooks.Delivery;

/// <summary>A channel of the simulated log, and what became of each of its messages.</summary>
internal sealed class SimTopic(string name)
{
    private int _epochs = 1;

    public string Name => name;

    public string Epoch => $"e{_epochs}";

    /// <summary>The messages of all epochs; those of the present one are kept from <see cref="Oldest"/> on.</summary>
    public Dictionary<(string Epoch, long Offset), SimMessage> Messages { get; } = [];

    public long Head { get; private set; }

    public long Oldest { get; private set; } = 1;

    /// <summary>The place before the first message that the subscription is owed.</summary>
    public Position Start { get; set; }

    /// <summary>Whether the store knows that the subscription may have something to do here.</summary>
    public bool Marked { get; set; }

    /// <summary>The place that its mark names.</summary>
    public Position Place { get; set; }

    /// <summary>How often its cursor was moved; what was sent before that no longer counts.</summary>
    public int Seeks { get; set; }

    public SimMessage Append(long now, string? eventName, string? key)
    {
        Head++;
        var message = new SimMessage(this, Epoch, new Message
        {
            Offset = Head, At = now, Payload = Payload.Json(Encoding.UTF8.GetBytes("1")), Event = eventName, Key = key,
        });
        Messages[(Epoch, Head)] = message;
        return message;
    }

    public void Trim(long upTo) => Oldest = Math.Clamp(upTo + 1, Oldest, Head + 1);

    public void Purge()
    {
        _epochs++;
        (Head, Oldest) = (0, 1);
    }

    public ChannelPage Read(long after, int max)
    {
        var first = Math.Max(after + 1, Oldest);
        var messages = new List<Message>();
        for (var offset = first; offset <= Head && messages.Count < max; offset++) messages.Add(Messages[(Epoch, offset)].Message);
        return new ChannelPage(new ChannelHead(Epoch, Oldest, Head), messages);
    }
}

/// <summary>A message, and what became of it.</summary>
internal sealed class SimMessage(SimTopic topic, string epoch, Message message)
{
    public SimTopic Topic => topic;

    public string Epoch => epoch;

    public Message Message => message;

    /// <summary>Whether the endpoint refuses it for itself.</summary>
    public bool Poisonous { get; set; }

    /// <summary>Whether it will not, or need not, be delivered (again) for its successors to follow.</summary>
    public bool Resolved { get; set; }

    /// <summary>The activation that was told that it is delivered.</summary>
    public int AckedBy { get; set; }

    /// <summary>Whether that is stored.</summary>
    public bool Written { get; set; }

    /// <summary>Whether somebody asked for it again, or may have.</summary>
    public bool MayRepeat { get; set; }

    public override string ToString() => $"{topic.Name}/{epoch}:{message.Offset}";
}

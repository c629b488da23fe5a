using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Grid.Server.Webhooks.Signing;

namespace Grid.Server.Api;

/// <summary>
/// The playground's sample receivers: what each does, and the latest that it received. Everything is bounded, since strangers make them: when
/// there are too many, the one that was used longest ago goes.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class SampleReceivers(TimeProvider time)
{
    /// <summary>The most receivers; as many as there are webhooks, and some that those before them left.</summary>
    public const int MaxReceivers = PlaygroundWebhookRules.MaxInAll + 28;

    /// <summary>How many requests a receiver remembers.</summary>
    public const int MaxKept = 40;

    /// <summary>How many characters of a body.</summary>
    public const int MaxBody = 240;

    /// <summary>How many accepted ids a receiver knows repeats by.</summary>
    public const int MaxIds = 512;

    /// <summary>How far from now a signature may have been made, as the Standard Webhooks specification advises.</summary>
    private static readonly TimeSpan Tolerance = TimeSpan.FromMinutes(5);

    private readonly Dictionary<string, Receiver> _receivers = new(StringComparer.Ordinal);
    private long _uses;

    /// <summary>How many there are.</summary>
    public int Count => _receivers.Count;

    /// <summary>Makes a receiver, or changes one. False: it is new, and cannot be without a secret.</summary>
    public bool Set(string name, ReceiverBehaviour? behaviour, WebhookSecret? secret)
    {
        if (Find(name) is not { } receiver)
        {
            if (secret is null) return false;
            if (_receivers.Count >= MaxReceivers) _receivers.Remove(_receivers.MinBy(r => r.Value.LastUse).Key);
            _receivers[name] = receiver = new Receiver { LastUse = ++_uses };
        }

        if (behaviour is { } does) (receiver.Behaviour, receiver.Turns) = (does, 0);
        if (secret is not null) receiver.Secret = secret;
        return true;
    }

    /// <summary>What a receiver does, and what it received after a number; null: there is none.</summary>
    public ReceiverState? Read(string name, long after) => Find(name) is not { } receiver ? null : new ReceiverState
    {
        Behaviour = receiver.Behaviour,
        Total = receiver.Total,
        Refused = receiver.Refused,
        Accepted = receiver.Accepted,
        Repeats = receiver.Repeats,
        Received = [.. receiver.Kept.Where(item => item.Number > after).Reverse()],
    };

    /// <summary>Takes a request in. What is not signed with the receiver's secret leaves nothing but a count.</summary>
    public ReceiverAnswer Take(string name, ReceivedRequest request)
    {
        if (Find(name) is not { } receiver) return ReceiverAnswer.Unknown;
        if (!IsSigned(request, receiver.Secret))
        {
            receiver.Refused++;
            return ReceiverAnswer.Refused;
        }

        var answer = AnswerOf(receiver);
        if (answer is ReceiverAnswer.Ok or ReceiverAnswer.Slow)
        {
            if (receiver.Ids.Contains(request.Id)) receiver.Repeats++;
            else receiver.Accept(request.Id);
        }

        receiver.Keep(new ReceivedItem
        {
            Number = ++receiver.Total,
            At = time.GetUtcNow().UtcDateTime,
            Id = request.Id,
            Channel = request.Channel,
            Offset = request.Offset,
            Attempt = request.Attempt,
            Body = Excerpt(request.Body),
            Answer = answer,
        });
        return answer;
    }

    private static ReceiverAnswer AnswerOf(Receiver receiver) => receiver.Behaviour switch
    {
        ReceiverBehaviour.Slow => ReceiverAnswer.Slow,
        ReceiverBehaviour.Error => ReceiverAnswer.Error,
        ReceiverBehaviour.Flap => ++receiver.Turns % 2 == 1 ? ReceiverAnswer.Error : ReceiverAnswer.Ok,
        ReceiverBehaviour.Reject => ReceiverAnswer.Reject,
        ReceiverBehaviour.Busy => ReceiverAnswer.Busy,
        ReceiverBehaviour.Gone => ReceiverAnswer.Gone,
        ReceiverBehaviour.Redirect => ReceiverAnswer.Redirect,
        ReceiverBehaviour.Hang => ReceiverAnswer.Hang,
        ReceiverBehaviour.Reset => ReceiverAnswer.Reset,
        _ => ReceiverAnswer.Ok,
    };

    /// <summary>The beginning of a body; a character that was cut in two is left out.</summary>
    private static string Excerpt(byte[] body)
    {
        var text = Encoding.UTF8.GetString(body.AsSpan(0, Math.Min(body.Length, MaxBody * 4)));
        if (text.Length <= MaxBody) return text;
        return string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[MaxBody - 1]) ? MaxBody - 1 : MaxBody), "…");
    }

    private bool IsSigned(ReceivedRequest request, WebhookSecret secret)
    {
        if (!WebhookMessageId.IsValid(request.Id)
            || !long.TryParse(request.Timestamp, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
            || Math.Abs(time.GetUtcNow().ToUnixTimeSeconds() - seconds) > Tolerance.TotalSeconds)
        {
            return false;
        }

        var wanted = Encoding.ASCII.GetBytes(secret.Sign(Encoding.ASCII.GetBytes($"{request.Id}.{request.Timestamp}."), request.Body));
        var matches = false;
        foreach (var entry in request.Signature.Split(' '))
            matches |= CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(entry), wanted);
        return matches;
    }

    private Receiver? Find(string name)
    {
        if (_receivers.TryGetValue(name, out var receiver)) receiver.LastUse = ++_uses;
        return receiver;
    }

    private sealed class Receiver
    {
        private readonly Queue<string> _order = new();

        public long LastUse { get; set; }

        public WebhookSecret Secret { get; set; } = null!;

        public ReceiverBehaviour Behaviour { get; set; }

        public int Turns { get; set; }

        public long Total { get; set; }

        public long Refused { get; set; }

        public long Accepted { get; private set; }

        public long Repeats { get; set; }

        public HashSet<string> Ids { get; } = new(StringComparer.Ordinal);

        public Queue<ReceivedItem> Kept { get; } = new();

        public void Accept(string id)
        {
            Accepted++;
            Ids.Add(id);
            _order.Enqueue(id);
            if (_order.Count > MaxIds) Ids.Remove(_order.Dequeue());
        }

        public void Keep(ReceivedItem item)
        {
            Kept.Enqueue(item);
            if (Kept.Count > MaxKept) Kept.Dequeue();
        }
    }
}

/// <inheritdoc cref="ISampleReceiverGrain"/>
internal sealed class SampleReceiverGrain(TimeProvider time) : Grain, ISampleReceiverGrain
{
    private readonly SampleReceivers _receivers = new(time);

    public Task<bool> SetAsync(string name, ReceiverBehaviour? behaviour, string? secret)
    {
        WebhookSecret? parsed = null;
        if (secret is not null && !WebhookSecret.TryParse(secret, out parsed, out _)) return Task.FromResult(false);
        return Task.FromResult(_receivers.Set(name, behaviour, parsed));
    }

    public Task<ReceiverState?> ReadAsync(string name, long after) => Task.FromResult(_receivers.Read(name, after));

    public Task<ReceiverAnswer> TakeAsync(string name, ReceivedRequest request) => Task.FromResult(_receivers.Take(name, request));
}

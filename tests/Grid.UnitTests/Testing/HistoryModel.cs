using Grid.Testing.History;
using Grid.Testing.Wire;

namespace Grid.UnitTests.Testing;

/// <summary>
/// A history of one channel that can be spoiled before it is given to the checker: made right from a seed, with retries, resumes,
/// retention, an old epoch and a slow consumer in it.
/// </summary>
internal sealed class HistoryModel
{
    public const string Channel = "room:1";
    public const string Epoch = "e2";

    public List<StoredMessage> Stored { get; } = [];

    public List<Publish> Publishes { get; } = [];

    public List<Consumer> Consumers { get; } = [];

    public long Oldest { get; private set; }

    public long Head { get; set; }

    public bool Read { get; set; } = true;

    public Consumer this[string name] => Consumers.Single(c => c.Name == name);

    public sealed class Publish
    {
        public required string Publisher { get; init; }

        public required string Key { get; init; }

        public required long Sequence { get; set; }

        public required string Payload { get; set; }

        public int Attempts { get; set; } = 1;

        public int Unknown { get; set; }

        public List<Acknowledgement> Acks { get; } = [];

        public List<string> Refusals { get; } = [];
    }

    public sealed class Consumer
    {
        public required string Name { get; init; }

        public CursorOwner Owner { get; init; }

        public bool MayDrop { get; init; }

        public List<ConsumerEvent> Events { get; } = [];

        /// <summary>The indexes of its messages after the first few and before the last few, so that there is room around each.</summary>
        public int AnyMessage(Random random, Func<ConsumerEvent, bool>? where = null)
        {
            var indexes = Enumerable.Range(0, Events.Count).Where(i => Events[i].Kind == ConsumerEventKind.Message && (where?.Invoke(Events[i]) ?? true)).ToList();
            return indexes[random.Next(2, indexes.Count - 2)];
        }

        public int Last(ConsumerEventKind kind) => Events.FindLastIndex(e => e.Kind == kind);
    }

    /// <summary>A history without fault.</summary>
    public static HistoryModel Make(int seed)
    {
        var random = new Random(seed);
        var model = new HistoryModel();
        model.MakePublishes(random);
        model.Oldest = random.Next(5, 20);
        var all = model.Stored.ToList();
        model.Stored.RemoveAll(m => m.Offset < model.Oldest);
        model.MakeOwnCursors(random, all);
        model.MakeServersCursors(random, all);
        model.MakeLate();
        model.MakeFromOldEpoch();
        model.MakeSlow(random, all);
        return model;
    }

    /// <summary>Plays the history to a recorder.</summary>
    public HistoryRecorder Record()
    {
        var recorder = new HistoryRecorder();
        foreach (var publish in Publishes)
        {
            var record = recorder.Publish(publish.Publisher, Channel, publish.Key, publish.Sequence, publish.Payload);
            for (var i = 0; i < publish.Attempts; i++) record.Sending();
            for (var i = 0; i < publish.Unknown; i++) record.OutcomeUnknown();
            foreach (var ack in publish.Acks) record.Acknowledged(ack.Epoch, ack.Offset, ack.Duplicate);
            foreach (var code in publish.Refusals) record.Refused(code);
        }

        foreach (var consumer in Consumers)
        {
            var record = recorder.Consumer(consumer.Name, Channel, consumer.Owner, consumer.MayDrop);
            foreach (var e in consumer.Events) Play(record, e);
        }

        if (Read) recorder.Stored(new StoredChannel(Channel, Epoch, Oldest, Head, Stored));
        return recorder;
    }

    public static ConsumerEvent MessageEvent(StoredMessage message) =>
        new(ConsumerEventKind.Message, null, message.Offset, -1, message.Payload, message.Key);

    public static ConsumerEvent GapEvent(string epoch, long from, long to, string reason) =>
        new(ConsumerEventKind.Gap, epoch, to, from, reason, null);

    private static void Play(ConsumerRecord record, ConsumerEvent e)
    {
        switch (e.Kind)
        {
            case ConsumerEventKind.Subscribed:
                record.Subscribed(e.Epoch!, e.Offset, e.From < 0 ? null : new RawPosition(e.Text!, e.From));
                break;
            case ConsumerEventKind.Resumed:
                record.Resumed(e.Epoch!, e.Offset);
                break;
            case ConsumerEventKind.Message:
                record.Message(e.Offset, e.Key, e.Text!);
                break;
            case ConsumerEventKind.Gap:
                record.Gap(e.Epoch!, e.From, e.Offset, e.Text!);
                break;
            case ConsumerEventKind.Checkpoint:
                record.Checkpoint(e.Offset);
                break;
            case ConsumerEventKind.Lost:
                record.Lost(e.Text!);
                break;
            default:
                record.Finished();
                break;
        }
    }

    private static ConsumerEvent At(ConsumerEventKind kind, long offset) => new(kind, Epoch, offset, -1, null, null);

    private void MakePublishes(Random random)
    {
        var next = new long[4];
        for (var i = 0; i < 120; i++)
        {
            var who = random.Next(4);
            var publish = new Publish
            {
                Publisher = $"p{who}",
                Key = $"p{who}-{next[who]}",
                Sequence = next[who],
                Payload = $$"""{"p":{{who}},"n":{{next[who]++}}}""",
            };
            Publishes.Add(publish);
            if (random.Next(15) == 0)
            {
                publish.Refusals.Add("forbidden");
                continue;
            }

            var offset = ++Head;
            Stored.Add(new StoredMessage(offset, publish.Key, publish.Payload));
            if (random.Next(4) == 0)
            {
                publish.Attempts = 2;
                publish.Unknown = 1;
                publish.Acks.Add(new(Epoch, offset, Duplicate: random.Next(2) == 0));
            }
            else if (random.Next(10) == 0)
            {
                publish.Unknown = 1;
            }
            else
            {
                publish.Acks.Add(new(Epoch, offset, Duplicate: false));
            }
        }
    }

    /// <summary>From the first message on, with its own cursors through several sockets.</summary>
    private void MakeOwnCursors(Random random, List<StoredMessage> all)
    {
        var consumer = new Consumer { Name = "own", Owner = CursorOwner.Client };
        consumer.Events.Add(At(ConsumerEventKind.Subscribed, 0));
        foreach (var message in all)
        {
            consumer.Events.Add(MessageEvent(message));
            if (random.Next(20) == 0) consumer.Events.Add(At(ConsumerEventKind.Resumed, message.Offset));
        }

        consumer.Events.Add(At(ConsumerEventKind.Finished, 0));
        Consumers.Add(consumer);
    }

    /// <summary>From somewhere on, resuming with the server's cursors: some messages come again.</summary>
    private void MakeServersCursors(Random random, List<StoredMessage> all)
    {
        var consumer = new Consumer { Name = "server", Owner = CursorOwner.Server };
        var at = random.Next(0, 10);
        var checkpoint = at;
        consumer.Events.Add(At(ConsumerEventKind.Subscribed, at));
        var resumes = 3;
        while (at < all.Count)
        {
            consumer.Events.Add(MessageEvent(all[at++]));
            if (random.Next(10) == 0)
            {
                checkpoint = at;
                consumer.Events.Add(At(ConsumerEventKind.Checkpoint, at));
            }

            if (resumes > 0 && at > all.Count / 3 && random.Next(12) == 0)
            {
                resumes--;
                at = random.Next(checkpoint, at + 1);
                consumer.Events.Add(At(ConsumerEventKind.Resumed, at));
            }
        }

        consumer.Events.Add(At(ConsumerEventKind.Checkpoint, at));
        consumer.Events.Add(At(ConsumerEventKind.Resumed, at));
        consumer.Events.Add(At(ConsumerEventKind.Finished, 0));
        Consumers.Add(consumer);
    }

    /// <summary>Asks for what retention has taken.</summary>
    private void MakeLate()
    {
        var consumer = new Consumer { Name = "late", Owner = CursorOwner.Client };
        consumer.Events.Add(new(ConsumerEventKind.Subscribed, Epoch, Oldest - 1, 1, Epoch, null));
        consumer.Events.Add(GapEvent(Epoch, 2, Oldest - 1, "retention"));
        consumer.Events.AddRange(Stored.Select(MessageEvent));
        consumer.Events.Add(At(ConsumerEventKind.Finished, 0));
        Consumers.Add(consumer);
    }

    /// <summary>Comes with a position of an epoch that is gone.</summary>
    private void MakeFromOldEpoch()
    {
        var consumer = new Consumer { Name = "old", Owner = CursorOwner.Client };
        consumer.Events.Add(new(ConsumerEventKind.Subscribed, Epoch, Oldest - 1, 77, "e1", null));
        consumer.Events.Add(GapEvent(Epoch, 1, Oldest - 1, "epoch"));
        consumer.Events.AddRange(Stored.Select(MessageEvent));
        consumer.Events.Add(At(ConsumerEventKind.Finished, 0));
        Consumers.Add(consumer);
    }

    /// <summary>Does not keep up where the policy drops.</summary>
    private void MakeSlow(Random random, List<StoredMessage> all)
    {
        var consumer = new Consumer { Name = "slow", Owner = CursorOwner.Client, MayDrop = true };
        consumer.Events.Add(At(ConsumerEventKind.Subscribed, 0));
        for (var at = 0; at < all.Count; at++)
        {
            if (at > 0 && at < all.Count - 12 && random.Next(15) == 0)
            {
                var skip = random.Next(1, 10);
                consumer.Events.Add(GapEvent(Epoch, at + 1, at + skip, "dropped"));
                at += skip;
            }

            consumer.Events.Add(MessageEvent(all[at]));
        }

        consumer.Events.Add(At(ConsumerEventKind.Finished, 0));
        Consumers.Add(consumer);
    }
}

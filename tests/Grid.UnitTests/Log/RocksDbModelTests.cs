using FsCheck;
using FsCheck.Fluent;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Log;

/// <summary>Random operations, in random company, against a model that is a few lists.</summary>
public sealed class RocksDbModelTests
{
    private const int ChannelCount = 3;
    private static readonly string[] Keys = ["a", "b", "c", "d", "e", "f"];
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(10);

    [Fact]
    public void The_log_is_what_the_model_says()
    {
        var operations = Gen.Choose(0, 99).Select(Kind).SelectMany(kind =>
            Gen.Choose(0, ChannelCount - 1).SelectMany(channel => Gen.Choose(0, int.MaxValue - 1).Select(seed => new Operation(kind, channel, seed))));
        var property = Prop.ForAll(
            Arb.From(operations.ArrayOf(), Shrink), list => RunAsync(list).GetAwaiter().GetResult());
        property.Check(Config.QuickThrowOnFailure.WithMaxTest(60).WithEndSize(120));
    }

    private enum OperationKind
    {
        Append,
        StaleAppend,
        ConcurrentAppends,
        Trim,
        Purge,
        Wait,
        Sweep,
        Reopen,
        Read,
    }

    private sealed record Operation(OperationKind Kind, int Channel, int Seed);

    private static OperationKind Kind(int percent) => percent switch
    {
        < 45 => OperationKind.Append,
        < 52 => OperationKind.StaleAppend,
        < 62 => OperationKind.ConcurrentAppends,
        < 70 => OperationKind.Trim,
        < 73 => OperationKind.Purge,
        < 79 => OperationKind.Wait,
        < 84 => OperationKind.Sweep,
        < 88 => OperationKind.Reopen,
        _ => OperationKind.Read,
    };

    private static IEnumerable<Operation[]> Shrink(Operation[] operations)
    {
        for (var size = operations.Length / 2; size >= 1; size /= 2)
        {
            for (var start = 0; start + size <= operations.Length; start += size)
                yield return [.. operations[..start], .. operations[(start + size)..]];
        }
    }

    private static async Task RunAsync(Operation[] operations)
    {
        using var folder = new TempFolder();
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch.AddYears(50));
        var log = Logs.Open(folder.Path, time, cachedChannels: 2);
        try
        {
            var models = Enumerable.Range(0, ChannelCount)
                .Select(i => new Model(new ChannelId("t", $"room:{i}"), log.Store.Epoch)).ToArray();
            foreach (var operation in operations)
            {
                var model = models[operation.Channel];
                var random = new Random(operation.Seed);
                switch (operation.Kind)
                {
                    case OperationKind.Append:
                        await AppendAsync(log, model, random, time, stale: 0);
                        break;
                    case OperationKind.StaleAppend:
                        await AppendAsync(log, model, random, time, stale: random.Next(1, 3));
                        break;
                    case OperationKind.ConcurrentAppends:
                        await Task.WhenAll(models.Select(m => AppendAsync(log, m, random, time, stale: 0)));
                        break;
                    case OperationKind.Trim:
                        var upTo = random.NextInt64(0, model.Head + 2);
                        await log.TrimAsync(model.Channel, upTo);
                        model.Trim(upTo);
                        break;
                    case OperationKind.Purge:
                        var purged = await log.PurgeAsync(model.Channel);
                        Assert.True(model.Epochs.Add(purged.Epoch));
                        model.Purge(purged.Epoch);
                        break;
                    case OperationKind.Wait:
                        time.Advance(TimeSpan.FromMinutes(random.Next(1, 8)));
                        break;
                    case OperationKind.Sweep:
                        await new RocksDbRetention(log).SweepAsync(CancellationToken.None);
                        break;
                    case OperationKind.Reopen:
                        await log.DisposeAsync();
                        log = Logs.Open(folder.Path, time, cachedChannels: 2);
                        break;
                    case OperationKind.Read:
                        await ReadAsync(log, model, random);
                        break;
                }
            }

            foreach (var model in models) await CheckAsync(log, model, time);
        }
        finally
        {
            await log.DisposeAsync();
        }
    }

    private static async Task AppendAsync(RocksDbMessageLog log, Model model, Random random, FakeTimeProvider time, int stale)
    {
        var now = time.GetUtcNow();
        var expected = new Position(model.Epoch, stale == 1 ? model.Head + 1 : model.Head);
        if (stale == 2) expected = expected with { Epoch = "stale" };
        var keys = Keys.OrderBy(_ => random.Next()).ToArray();
        var messages = Enumerable.Range(1, random.Next(1, 5)).Select(i => new Message
        {
            Offset = expected.Offset + i,
            At = now.ToUnixTimeMilliseconds(),
            Payload = Payload.Binary(BitConverter.GetBytes(random.NextInt64())),
            Key = random.Next(2) == 0 ? keys[i] : null,
            From = random.Next(3) == 0 ? "ana" : null,
        }).ToArray();
        var result = await log.AppendAsync(new AppendRequest
        {
            Channel = model.Channel, ExpectedHead = expected, Messages = messages, KeyWindow = Window,
        });
        var head = new Position(model.Epoch, model.Head);
        if (stale > 0)
        {
            Assert.Equal(AppendStatus.HeadMoved, result.Status);
            Assert.Equal(head, result.Head);
            return;
        }

        var seen = messages
            .Select((m, i) => (m.Key, i)).Where(m => m.Key is not null && model.Find(m.Key, now) > 0)
            .Select(m => new SeenKey(m.i, model.Find(m.Key!, now))).ToArray();
        if (seen.Length > 0)
        {
            Assert.Equal(AppendStatus.KeysSeen, result.Status);
            Assert.Equal(head, result.Head);
            Assert.Equal(seen, result.Seen);
            return;
        }

        Assert.Equal(AppendStatus.Appended, result.Status);
        model.Append(messages, now + Window);
        Assert.Equal(new Position(model.Epoch, model.Head), result.Head);
    }

    private static async Task ReadAsync(RocksDbMessageLog log, Model model, Random random)
    {
        var (after, max) = (random.NextInt64(0, model.Head + 3), random.Next(1, 20));
        var page = await log.ReadAsync(model.Channel, after, max);
        Assert.Equal(model.ToHead(), page.Head);
        var expected = model.Kept.Where(m => m.Offset > after).Take(max).ToArray();
        Assert.Equal(expected.Select(m => m.Offset), page.Messages.Select(m => m.Offset));
        foreach (var (wanted, actual) in expected.Zip(page.Messages)) AssertSame(wanted, actual);
    }

    private static async Task CheckAsync(RocksDbMessageLog log, Model model, FakeTimeProvider time)
    {
        Assert.Equal(model.ToHead(), await log.GetHeadAsync(model.Channel));
        var page = await log.ReadAsync(model.Channel, 0, 10_000);
        Assert.Equal(model.Kept.Count, page.Messages.Count);
        foreach (var (wanted, actual) in model.Kept.Zip(page.Messages)) AssertSame(wanted, actual);
        Assert.Equal(Keys.Select(k => model.Find(k, time.GetUtcNow())), await log.FindKeysAsync(model.Channel, Keys));
    }

    private static void AssertSame(Message wanted, Message actual)
    {
        Assert.Equal((wanted.Offset, wanted.At, wanted.Key, wanted.From), (actual.Offset, actual.At, actual.Key, actual.From));
        Assert.Equal(wanted.Payload.Bytes.ToArray(), actual.Payload.Bytes.ToArray());
    }

    private sealed class Model(ChannelId channel, string epoch)
    {
        private readonly Dictionary<string, (long Offset, DateTimeOffset ExpiresAt)> _keys = [];

        public ChannelId Channel { get; } = channel;

        public string Epoch { get; private set; } = epoch;

        public HashSet<string> Epochs { get; } = [epoch];

        public long Head { get; private set; }

        public long Oldest { get; private set; } = 1;

        public List<Message> Kept { get; } = [];

        public ChannelHead ToHead() => new(Epoch, Oldest, Head);

        public long Find(string key, DateTimeOffset now) => _keys.TryGetValue(key, out var found) && found.ExpiresAt > now ? found.Offset : 0;

        public void Append(Message[] messages, DateTimeOffset expiresAt)
        {
            Kept.AddRange(messages);
            Head += messages.Length;
            foreach (var message in messages)
            {
                if (message.Key is { } key) _keys[key] = (message.Offset, expiresAt);
            }
        }

        public void Trim(long upTo)
        {
            Oldest = Math.Max(Oldest, Math.Min(upTo, Head) + 1);
            Kept.RemoveAll(m => m.Offset < Oldest);
        }

        public void Purge(string epoch)
        {
            (Epoch, Head, Oldest) = (epoch, 0, 1);
            Kept.Clear();
            _keys.Clear();
        }
    }
}

using Grid.Protocol;

namespace Grid.UnitTests.Protocol;

/// <summary>Frames with some bytes changed, for the tests of every codec.</summary>
internal static class Mutations
{
    /// <summary>The changes that every form has; numbers from here on are a codec's own.</summary>
    public const int Common = 4;

    /// <summary>A change that only one form has.</summary>
    /// <param name="kind">Its number, from <see cref="Common"/> on; below when there is no byte at <paramref name="at"/>.</param>
    /// <param name="frame">What is changed.</param>
    /// <param name="at">Where.</param>
    /// <param name="corpus">All frames, as they were.</param>
    /// <param name="random">The choices.</param>
    public delegate void OwnChange(int kind, List<byte> frame, int at, byte[][] corpus, Random random);

    /// <summary>What holds for every outcome.</summary>
    public static void Check<TFrame>(Decoded<TFrame> decoded)
        where TFrame : class
    {
        Assert.True(Enum.IsDefined(decoded.Status));
        Assert.Equal(decoded.Status == DecodeStatus.Ok, decoded.Frame is not null);
        Assert.Equal(decoded.Status == DecodeStatus.Ok, string.IsNullOrEmpty(decoded.Error));
        Assert.True(decoded.Id is null || decoded.Status == DecodeStatus.BadFrame);
    }

    /// <summary>Decodes 25,000 frames, each with one to three changes, and expects each outcome to have come up.</summary>
    /// <param name="seed">The seed of the choices.</param>
    /// <param name="frames">What is changed.</param>
    /// <param name="kinds">How many kinds of change there are, <see cref="Common"/> ones included.</param>
    /// <param name="own">The codec's own changes.</param>
    /// <param name="decode">Decodes and checks.</param>
    public static void Run(int seed, IEnumerable<byte[]> frames, int kinds, OwnChange own, Func<byte[], DecodeStatus> decode)
    {
        var random = new Random(seed);
        var corpus = frames.ToArray();
        var outcomes = new int[3];
        for (var i = 0; i < 25_000; i++)
        {
            var frame = corpus[random.Next(corpus.Length)].ToList();
            for (var changes = random.Next(1, 4); changes > 0; changes--) Change(frame, corpus, kinds, own, random);
            outcomes[(int)decode([.. frame])]++;
        }
        Assert.All(outcomes, count => Assert.True(count > 250, $"outcomes: {string.Join(", ", outcomes)}"));
    }

    private static void Change(List<byte> frame, byte[][] corpus, int kinds, OwnChange own, Random random)
    {
        var at = random.Next(frame.Count + 1);
        var some = Math.Min(random.Next(1, 12), frame.Count - at);
        var kind = random.Next(kinds);
        switch (kind)
        {
            case 0 when at < frame.Count:
                frame[at] = (byte)random.Next(256);
                break;
            case 1 when at < frame.Count:
                frame[at] ^= (byte)(1 << random.Next(8));
                break;
            case 2:
                frame.RemoveRange(at, some);
                break;
            case 3:
                frame.InsertRange(random.Next(frame.Count + 1), frame.GetRange(at, some));
                break;
            default:
                own(kind, frame, at, corpus, random);
                break;
        }
    }
}

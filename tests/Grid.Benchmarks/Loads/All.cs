using Grid.Benchmarks.Report;

namespace Grid.Benchmarks.Loads;

/// <summary>Every row of the table of docs/performance.md, with modest times; each row with servers of its own.</summary>
internal static class All
{
    /// <summary>The verb <c>all</c>.</summary>
    public static void Run(Options options, Summary summary)
    {
        options.RefuseOthers();
        FanOut.Run(Of("--window 1,8,64 --seconds 2.5 --warmup 1 --peer nats"), summary);
        Rooms.Run(Of("--seconds 2.5 --warmup 1 --peer nats"), summary);
        Publishing.Run(Of("--seconds 2.5 --warmup 1 --peer nats"), summary);
        Publishing.Run(Of("--http --pipeline 1,16,256 --seconds 2.5 --warmup 1 --pairs 1"), summary);
        Idle.Run(Of("--peer nats"), summary);
        Resuming.Run(Of("--sessions 10000"), summary);
        SlowConsumers.Run(Of("--seconds 2.5 --warmup 1"), summary);
    }

    private static Options Of(string arguments) => new(arguments.Split(' '));
}

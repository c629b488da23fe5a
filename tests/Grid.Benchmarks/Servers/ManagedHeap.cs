using System.Diagnostics.Tracing;
using Microsoft.Diagnostics.NETCore.Client;
using Microsoft.Diagnostics.Tracing;

namespace Grid.Benchmarks.Servers;

/// <summary>Asks another .NET process to collect its garbage, so that resident memory tells what is held and not what was dropped.</summary>
internal static class ManagedHeap
{
    /// <summary>GCHeapCollect of the runtime's event provider: enabling it forces a full collection.</summary>
    private const long HeapCollect = 0x800000;

    /// <summary>The provider's events about collections.</summary>
    private const long Collections = 0x1;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>Collects twice (what the first finds finalizable, the second frees); returns what was left, in bytes.</summary>
    public static long Collect(int processId)
    {
        CollectOnce(processId);
        return CollectOnce(processId);
    }

    private static long CollectOnce(int processId)
    {
        using var session = new DiagnosticsClient(processId).StartEventPipeSession(
            [new EventPipeProvider("Microsoft-Windows-DotNETRuntime", EventLevel.Informational, HeapCollect | Collections)],
            requestRundown: false);
        using var source = new EventPipeEventSource(session.EventStream);
        using var collected = new ManualResetEventSlim();
        var left = 0L;
        source.Clr.GCHeapStats += stats =>
        {
            left = stats.TotalHeapSize;
            collected.Set();
        };
        var reading = Task.Run(source.Process);
        var inTime = collected.Wait(Patience);
        session.Stop();
        reading.Wait(Patience);
        return inTime ? left : throw new Net.BenchmarkException("The server did not collect its garbage when asked to.");
    }
}

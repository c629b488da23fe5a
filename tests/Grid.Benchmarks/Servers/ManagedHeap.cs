using System.Diagnostics.Tracing;
using Microsoft.Diagnostics.NETCore.Client;

namespace Grid.Benchmarks.Servers;

/// <summary>Asks another .NET process to collect its garbage, so that resident memory tells what is held and not what was dropped.</summary>
internal static class ManagedHeap
{
    /// <summary>GCHeapCollect of the runtime's event provider: enabling it forces a full collection.</summary>
    private const long HeapCollect = 0x800000;

    /// <summary>Collects twice: what the first finds finalizable, the second frees.</summary>
    public static void Collect(int processId)
    {
        var client = new DiagnosticsClient(processId);
        for (var i = 0; i < 2; i++)
        {
            using var session = client.StartEventPipeSession(
                [new EventPipeProvider("Microsoft-Windows-DotNETRuntime", EventLevel.Informational, HeapCollect)], requestRundown: false);
            session.Stop();
        }
    }
}

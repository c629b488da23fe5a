using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Grid.Testing.Hosting;

/// <summary>
/// Starts processes that do not outlive this one. On Linux the kernel kills a child when the thread that started it ends
/// (<c>PR_SET_PDEATHSIG</c>, set by <c>setpriv</c> of util-linux, which then becomes the child). So every start happens on one thread
/// that lives as long as this process. Without <c>setpriv</c> a child is killed on dispose only.
/// </summary>
internal static class ProcessStarter
{
    private const int SigTerm = 15;
    private static readonly BlockingCollection<Action> Work = [];
    private static readonly string? SetPriv = new[] { "/usr/bin/setpriv", "/bin/setpriv" }.FirstOrDefault(File.Exists);

    static ProcessStarter()
    {
        var thread = new Thread(() =>
        {
            foreach (var action in Work.GetConsumingEnumerable()) action();
        })
        { IsBackground = true, Name = "Process starter" };
        thread.Start();
    }

    /// <summary>Starts a process.</summary>
    public static Task<Process> StartAsync(ProcessStartInfo info)
    {
        if (SetPriv is not null)
        {
            info.ArgumentList.Insert(0, info.FileName);
            info.ArgumentList.Insert(0, "KILL");
            info.ArgumentList.Insert(0, "--pdeathsig");
            info.FileName = SetPriv;
        }

        var started = new TaskCompletionSource<Process>(TaskCreationOptions.RunContinuationsAsynchronously);
        Work.Add(() =>
        {
            try
            {
                started.SetResult(Process.Start(info) ?? throw new TestFailedException($"'{info.FileName}' did not start."));
            }
            catch (Exception e)
            {
                started.SetException(e);
            }
        });
        return started.Task;
    }

    /// <summary>Asks a process to end (SIGTERM).</summary>
    public static void Terminate(Process process)
    {
        if (!process.HasExited) _ = NativeKill(process.Id, SigTerm);
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int NativeKill(int pid, int signal);
}

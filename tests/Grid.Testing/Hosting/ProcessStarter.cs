using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Grid.Testing.Hosting;

/// <summary>
/// Starts processes that do not outlive this one. On Linux the kernel kills a child when the thread that started it ends
/// (<c>PR_SET_PDEATHSIG</c>, set by <c>setpriv</c> of util-linux, which then becomes the child). So every start happens on one thread
/// that lives as long as this process. Without <c>setpriv</c> a child is killed on dispose only.
/// </summary>
public static class ProcessStarter
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
    /// <param name="info">What to start.</param>
    /// <param name="user">
    /// As whom, if not as the user of this process. In one step with the rest: the kernel drops the wish for the signal when the user
    /// changes after it.
    /// </param>
    public static Task<Process> StartAsync(ProcessStartInfo info, string? user = null)
    {
        ArgumentNullException.ThrowIfNull(info);
        if (SetPriv is not null)
        {
            string[] wishes = user is null
                ? ["--pdeathsig", "KILL", info.FileName]
                : ["--reuid", user, "--regid", user, "--clear-groups", "--pdeathsig", "KILL", info.FileName];
            for (var i = 0; i < wishes.Length; i++) info.ArgumentList.Insert(i, wishes[i]);
            info.FileName = SetPriv;
        }
        else if (user is not null)
        {
            throw new TestFailedException($"'{info.FileName}' is to run as '{user}', which takes setpriv of util-linux.");
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
        ArgumentNullException.ThrowIfNull(process);
        if (!process.HasExited) Signal(process.Id, SigTerm);
    }

    /// <summary>Sends a signal; a process that has ended is let be.</summary>
    internal static void Signal(int process, int signal) => _ = NativeKill(process, signal);

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int NativeKill(int pid, int signal);
}

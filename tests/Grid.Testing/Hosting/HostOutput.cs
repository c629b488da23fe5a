using System.Text;

namespace Grid.Testing.Hosting;

/// <summary>What a process wrote to its standard output and error, line by line.</summary>
public sealed class HostOutput
{
    private const int Kept = 20_000;
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];
    private readonly List<(Func<string, bool> Match, TaskCompletionSource<string> Found)> _waiters = [];

    /// <summary>A copy of the lines kept (the last 20,000).</summary>
    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_gate) return [.. _lines];
        }
    }

    /// <summary>Lines by which the console logger marks errors and worse (<c>fail:</c>, <c>crit:</c>), and unhandled exceptions.</summary>
    public IReadOnlyList<string> Errors =>
        [.. Lines.Where(l => l.Contains("fail: ", StringComparison.Ordinal) || l.Contains("crit: ", StringComparison.Ordinal)
            || l.Contains("Unhandled exception", StringComparison.Ordinal))];

    /// <summary>Waits for a line, among those that came and those to come.</summary>
    public async Task<string> WaitAsync(Func<string, bool> match, TimeSpan timeout)
    {
        ArgumentNullException.ThrowIfNull(match);
        TaskCompletionSource<string> found = new(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_lines.Find(l => match(l)) is { } line) return line;
            _waiters.Add((match, found));
        }

        try
        {
            return await found.Task.WaitAsync(timeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new TestFailedException($"The line did not come within {timeout.TotalSeconds:0} s.\n{Tail()}");
        }
    }

    /// <summary>The last lines, for failure messages.</summary>
    public string Tail(int count = 80)
    {
        lock (_gate)
        {
            var text = new StringBuilder("Output of the host:\n");
            foreach (var line in _lines.TakeLast(count)) text.Append("  | ").AppendLine(line);
            return text.ToString();
        }
    }

    /// <summary>Adds a line.</summary>
    public void Add(string line)
    {
        List<TaskCompletionSource<string>> found = [];
        lock (_gate)
        {
            _lines.Add(line);
            if (_lines.Count > 2 * Kept) _lines.RemoveRange(0, _lines.Count - Kept);
            for (var i = _waiters.Count - 1; i >= 0; i--)
            {
                if (!_waiters[i].Match(line)) continue;
                found.Add(_waiters[i].Found);
                _waiters.RemoveAt(i);
            }
        }

        foreach (var waiter in found) waiter.TrySetResult(line);
    }
}

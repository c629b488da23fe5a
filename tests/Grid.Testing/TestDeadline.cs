namespace Grid.Testing;

/// <summary>
/// The time a test, or a step of one, may take. It bounds waiting for events; it is never an assertion about speed, so it is set
/// far above what a loaded machine needs.
/// </summary>
public sealed class TestDeadline : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly long _end;

    /// <summary>Starts a deadline of <paramref name="span"/> from now.</summary>
    public TestDeadline(TimeSpan span)
    {
        Span = span;
        _end = Environment.TickCount64 + (long)span.TotalMilliseconds;
        _source = new CancellationTokenSource(span);
    }

    /// <summary>Starts a deadline of <paramref name="seconds"/> from now.</summary>
    public static TestDeadline In(double seconds) => new(TimeSpan.FromSeconds(seconds));

    /// <summary>The span it was made with.</summary>
    public TimeSpan Span { get; }

    /// <summary>What is left of it, never below zero.</summary>
    public TimeSpan Left => TimeSpan.FromMilliseconds(Math.Max(0, _end - Environment.TickCount64));

    /// <summary>Whether it has passed.</summary>
    public bool Passed => Environment.TickCount64 >= _end;

    /// <summary>Cancelled when the deadline passes.</summary>
    public CancellationToken Token => _source.Token;

    /// <summary>
    /// Asks <paramref name="condition"/> until it is true, for states that can only be polled (another process, an HTTP answer).
    /// </summary>
    /// <param name="condition">What must become true.</param>
    /// <param name="what">What is waited for, for the failure's message.</param>
    /// <exception cref="TestFailedException">The deadline passed first.</exception>
    public async Task UntilAsync(Func<Task<bool>> condition, Func<string> what)
    {
        ArgumentNullException.ThrowIfNull(condition);
        ArgumentNullException.ThrowIfNull(what);
        while (!await condition().ConfigureAwait(false))
        {
            if (Passed) throw new TestFailedException($"Not within {Span.TotalSeconds:0.#} s: {what()}");
            await Task.Delay(20, CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <inheritdoc cref="UntilAsync(Func{Task{bool}}, Func{string})"/>
    public Task UntilAsync(Func<bool> condition, Func<string> what) => UntilAsync(() => Task.FromResult(condition()), what);

    /// <inheritdoc/>
    public void Dispose() => _source.Dispose();
}

namespace Grid.Testing;

/// <summary>A test's expectation did not come true. The message carries what was seen, so that a log alone explains the failure.</summary>
public sealed class TestFailedException : Exception
{
    /// <summary>Makes an exception without a message.</summary>
    public TestFailedException()
    {
    }

    /// <summary>Makes an exception with what was expected and what was seen.</summary>
    public TestFailedException(string message)
        : base(message)
    {
    }

    /// <summary>Makes an exception with what was expected, what was seen, and its cause.</summary>
    public TestFailedException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

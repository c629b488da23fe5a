using System.IO.MemoryMappedFiles;
using Grid.Benchmarks.Net;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>
/// What the processes of a run tell each other, in memory that they share: looking at it costs nobody a system call, so that the one who
/// measures does not slow down what is measured.
/// </summary>
internal sealed unsafe class Tally : IDisposable
{
    private const int Samples = 1 << 20;
    private const int Header = 64;
    private const long Bytes = (Header + Samples) * sizeof(long);

    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _view;
    private readonly long* _words;

    private Tally(MemoryMappedFile file)
    {
        _file = file;
        _view = file.CreateViewAccessor(0, Bytes);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _words = (long*)start;
    }

    /// <summary>Opens it, and makes it first if it is not there.</summary>
    public static Tally Open(string path) => new(MemoryMappedFile.CreateFromFile(path, FileMode.OpenOrCreate, null, Bytes));

    /// <summary>Requests of a kind that the receiver got.</summary>
    public ref long Of(HookPath path) => ref _words[8 + ((int)path * 8)];

    /// <summary>Requests that the receiver did not understand.</summary>
    public ref long Bad => ref _words[0];

    /// <summary>Latencies that the receiver noted, ever; the last of them are kept.</summary>
    public ref long Noted => ref _words[1];

    /// <summary>How many workers of <see cref="BareSender"/> are to send.</summary>
    public ref long Workers => ref _words[2];

    /// <summary>Bytes that <see cref="BareSender"/> allocated.</summary>
    public ref long Allocated => ref _words[3];

    /// <summary>Notes a latency. For the receiver.</summary>
    public void Note(long nanoseconds)
    {
        _words[Header + (int)(Noted % Samples)] = nanoseconds;
        Volatile.Write(ref Noted, Noted + 1);
    }

    /// <summary>A latency, by its number.</summary>
    public long Latency(long number) => number >= Volatile.Read(ref Noted) - Samples
        ? _words[Header + (int)(number % Samples)]
        : throw new BenchmarkException("There were more latencies than are kept.");

    public void Dispose()
    {
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _file.Dispose();
    }
}

/// <summary>What the receiver does with a request, by the first letter of its path.</summary>
internal enum HookPath
{
    /// <summary><c>/h</c>: answers with 200, and notes how old the message is.</summary>
    Healthy,

    /// <summary><c>/x</c>: answers with 200.</summary>
    Other,

    /// <summary><c>/q</c>: never answers.</summary>
    Quiet,

    /// <summary><c>/l</c>: answers with 503, come again in an hour.</summary>
    Later,
}

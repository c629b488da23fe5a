using System.Diagnostics;
using System.Globalization;
using Grid.ClusterTests.Cluster;
using Grid.Testing;

namespace Grid.ClusterTests.Chaos;

/// <summary>
/// The time line of a run: in memory for the failure's message, and in a file, line by line, so that a run that hangs or is ended can
/// be read too.
/// </summary>
internal sealed class ChaosLog : IDisposable
{
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];
    private readonly long _started = Stopwatch.GetTimestamp();
    private readonly StreamWriter _file;

    public ChaosLog(int seed)
    {
        Path = System.IO.Path.Combine(Repository.Results("chaos"), $"seed-{seed.ToString(CultureInfo.InvariantCulture)}.log");
        _file = new StreamWriter(Path) { AutoFlush = true };
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Since the run began.</summary>
    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(_started);

    /// <summary>Adds a line.</summary>
    public void Add(string text)
    {
        lock (_gate)
        {
            var line = string.Create(CultureInfo.InvariantCulture, $"{Elapsed.TotalSeconds,8:0.0} s  {text}");
            _lines.Add(line);
            _file.WriteLine(line);
        }
    }

    /// <summary>Keeps what the silos wrote beside the time line.</summary>
    public void Keep(TestCluster cluster)
    {
        foreach (var silo in cluster.Silos)
            File.WriteAllLines($"{Path}.{silo.ToString().Replace(' ', '-')}", silo.Host.Output.Lines);
    }

    public override string ToString()
    {
        lock (_gate) return string.Join('\n', _lines);
    }

    public void Dispose() => _file.Dispose();
}

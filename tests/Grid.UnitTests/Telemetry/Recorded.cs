using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Grid.Server.Telemetry;
using Microsoft.Extensions.DependencyInjection;

namespace Grid.UnitTests.Telemetry;

/// <summary>A meter of its own with a listener that adds up what is recorded on it.</summary>
internal sealed class Recorded : IDisposable
{
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<string, List<double>> _values = new();

    /// <param name="keeps">Whether values are kept; else the listener only listens, and allocates nothing itself.</param>
    public Recorded(bool keeps = true)
    {
        Meters = _services.GetRequiredService<IMeterFactory>();
        var meter = GridMeter.Of(Meters);
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter == meter) listener.EnableMeasurementEvents(instrument);
        };
        if (keeps)
        {
            _listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Keep(instrument, value, tags));
            _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Keep(instrument, value, tags));
            _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Keep(instrument, value, tags));
        }
        else
        {
            _listener.SetMeasurementEventCallback<long>(static (_, _, _, _) => { });
            _listener.SetMeasurementEventCallback<double>(static (_, _, _, _) => { });
        }

        _listener.Start();
    }

    /// <summary>Makes the meter.</summary>
    public IMeterFactory Meters { get; }

    /// <summary>What was recorded, in order; the name with its tags, as in <c>grid.gaps reason=epoch</c>.</summary>
    public double[] this[string name]
    {
        get
        {
            if (!_values.TryGetValue(name, out var values)) return [];
            lock (values) return [.. values];
        }
    }

    /// <summary>The sum of it.</summary>
    public double Sum(string name) => this[name].Sum();

    /// <summary>Asks the observable instruments.</summary>
    public void Observe() => _listener.RecordObservableInstruments();

    public void Dispose()
    {
        _listener.Dispose();
        _services.Dispose();
    }

    private void Keep(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var name = instrument.Name;
        foreach (var (key, tag) in tags) name += $" {key}={tag}";
        var values = _values.GetOrAdd(name, _ => []);
        lock (values) values.Add(value);
    }
}

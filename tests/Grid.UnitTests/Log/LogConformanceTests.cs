using Grid.Server.Hosting;
using Grid.Server.Log;
using Grid.Testing.Log;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Grid.UnitTests.Log;

public sealed class RocksDbMessageLogConformance : MessageLogConformance, IDisposable
{
    private readonly TempFolder _folder = new();
    private RocksDbMessageLog? _log;

    protected override bool Durable => true;

    public void Dispose() => _folder.Dispose();

    protected override Task<IMessageLog> OpenAsync() => Task.FromResult<IMessageLog>(_log = Logs.Open(_folder.Path, Time));

    protected override async Task CloseAsync() => await _log!.DisposeAsync();
}

/// <summary>The same with hardly any channel in memory, so that heads come from the database.</summary>
public sealed class UncachedRocksDbMessageLogConformance : MessageLogConformance, IDisposable
{
    private readonly TempFolder _folder = new();
    private RocksDbMessageLog? _log;

    protected override bool Durable => true;

    public void Dispose() => _folder.Dispose();

    protected override Task<IMessageLog> OpenAsync() =>
        Task.FromResult<IMessageLog>(_log = Logs.Open(_folder.Path, Time, cachedChannels: 1));

    protected override async Task CloseAsync() => await _log!.DisposeAsync();
}

public sealed class MemoryMessageLogConformance : MessageLogConformance
{
    protected override bool Durable => false;

    protected override Task<IMessageLog> OpenAsync() => Task.FromResult<IMessageLog>(new MemoryMessageLog(
        Logs.Policies(new NamespacePolicy { Durability = Durability.Ephemeral }), Time));

    protected override Task CloseAsync() => Task.CompletedTask;
}

internal static class Logs
{
    public static NamespacePolicies Policies(NamespacePolicy? standard = null, params (string Name, NamespacePolicy Policy)[] others)
    {
        var options = new GridOptions();
        if (standard is not null) options.Namespaces["default"] = standard;
        foreach (var (name, policy) in others) options.Namespaces[name] = policy;
        return new NamespacePolicies(Options.Create(options));
    }

    public static RocksDbStore OpenStore(string folder, TimeProvider? time = null, StoreFaults? faults = null) =>
        RocksDbStore.Open(folder, time ?? TimeProvider.System, NullLogger<RocksDbStore>.Instance, faults);

    public static RocksDbMessageLog Open(
        string folder,
        TimeProvider? time = null,
        StoreFaults? faults = null,
        NamespacePolicies? policies = null,
        int cachedChannels = RocksDbMessageLog.DefaultCachedChannels) =>
        new(OpenStore(folder, time, faults), policies ?? Policies(), cachedChannels);

    /// <summary>Waits until a store takes writes again; to be called after one has failed.</summary>
    public static async Task HealedAsync(RocksDbMessageLog log, StoreFaults faults)
    {
        var healed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        faults.Healed = () => healed.TrySetResult();
        if (!log.Store.Writer.IsAvailable) await healed.Task.WaitAsync(TimeSpan.FromMinutes(1));
    }
}

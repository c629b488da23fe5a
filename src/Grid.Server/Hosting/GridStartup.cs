using System.Diagnostics;
using Grid.Server.Tenancy;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Grid.Server.Hosting;

/// <summary>
/// What happens once the silo runs: the first tenant and key are made, and only then is the process ready for traffic.
/// </summary>
public sealed class GridStartup : IHostedLifecycleService
{
    private static readonly TimeSpan StorePatience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(500);

    private readonly TenancyBootstrap _bootstrap;
    private readonly ISecretStore _secrets;
    private readonly TaskCompletionSource<BootstrapResult> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Registers the readiness checks.</summary>
    public GridStartup(TenancyBootstrap bootstrap, ISecretStore secrets, IReadiness readiness, IServiceProvider services)
    {
        _bootstrap = bootstrap;
        _secrets = secrets;
        var silos = services.GetRequiredService<ISiloStatusOracle>();
        readiness.Add("started", _ => ValueTask.FromResult(_done.Task.IsCompletedSuccessfully));
        readiness.Add("cluster", _ => ValueTask.FromResult(silos.CurrentStatus == SiloStatus.Active));
        foreach (var (name, check) in services.GetRequiredService<IGridStore>().Checks) readiness.Add(name, check);
    }

    /// <summary>What this start had to make; ends when Grid is ready.</summary>
    public Task<BootstrapResult> Completed => _done.Task;

    /// <inheritdoc/>
    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public async Task StartedAsync(CancellationToken cancellationToken)
    {
        // A store that goes away in this moment is waited for, as it is before and after it.
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                _done.SetResult(await PrepareAsync());
                return;
            }
            catch (Exception e) when (Outage.Is(e) && Stopwatch.GetElapsedTime(started) < StorePatience)
            {
                await Task.Delay(Pause, cancellationToken);
            }
        }
    }

    private async Task<BootstrapResult> PrepareAsync()
    {
        // Read now, so that no client's first hello waits for the store, or fails because it is away.
        foreach (var name in (string[])[SecretNames.ApiKeys, SecretNames.Resume]) _secrets.GetOrCreate(name);
        return await _bootstrap.EnsureAsync();
    }

    /// <inheritdoc/>
    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>Steps of a start that an application may take earlier than Grid would.</summary>
public static class GridStartupExtensions
{
    /// <summary>
    /// Opens the stores now, before anything else starts, so that what is wrong with them is said first and alone: the embedded
    /// one's folder, or in a cluster the database, whose schema is made or migrated here.
    /// </summary>
    /// <exception cref="GridStartupException">A store cannot be used; the message says why in plain words.</exception>
    public static Task OpenGridStoreAsync(this IServiceProvider services, CancellationToken cancellationToken = default) =>
        services.GetRequiredService<IGridStore>().OpenAsync(cancellationToken);

    /// <summary>Where Grid's data is, for the person who starts it; without secrets.</summary>
    public static string DescribeGridStore(this IServiceProvider services) => services.GetRequiredService<IGridStore>().Description;
}

using Grid.Abstractions;

namespace Grid.Server.Webhooks;

/// <summary>Wakes subscriptions.</summary>
internal static class WebhookWaker
{
    /// <summary>
    /// Tells subscriptions that something was published for them. One way, and nothing is awaited: a call that is lost is made up for by
    /// <see cref="WebhookSweep"/>.
    /// </summary>
    /// <param name="grains">Finds their grains.</param>
    /// <param name="channel">Where it was published.</param>
    /// <param name="woken">The subscriptions' ids.</param>
    public static void Wake(IGrainFactory grains, ChannelId channel, IReadOnlyList<string> woken)
    {
        foreach (var webhook in woken)
            Forget(grains.GetGrain<IWebhookGrain>(new Store.WebhookId(channel.Tenant, webhook).ToString()).WakeForAsync(channel.Name));
    }

    /// <summary>Lets go of a call's answer.</summary>
    public static void Forget(Task call)
    {
        if (call.IsCompletedSuccessfully) return;
        call.ContinueWith(static t => _ = t.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
    }
}

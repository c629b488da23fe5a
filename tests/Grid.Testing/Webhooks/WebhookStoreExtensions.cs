using Grid.Server.Webhooks.Store;

namespace Grid.Testing.Webhooks;

/// <summary>What only tests ask a store.</summary>
internal static class WebhookStoreExtensions
{
    /// <summary>All marks of a subscription, by the channel's name, read in small pages.</summary>
    public static async Task<IReadOnlyList<WebhookMark>> GetMarksAsync(this IWebhookStore store, WebhookId webhook)
    {
        const int Page = 3;
        var found = new List<WebhookMark>();
        while (true)
        {
            var page = await store.GetMarksAsync(webhook, found.Count == 0 ? string.Empty : found[^1].Channel, Page);
            found.AddRange(page);
            if (page.Count < Page) return found;
        }
    }

    /// <summary>Replaces a subscription as the last activation.</summary>
    public static ValueTask<bool> UpdateAsync(this IWebhookStore store, StoredWebhook webhook) => store.UpdateAsync(webhook, long.MaxValue);

    /// <summary>Clears marks as the last activation.</summary>
    public static async ValueTask<bool[]> ClearMarksAsync(this IWebhookStore store, WebhookId webhook, IReadOnlyList<WebhookMark> settled) =>
        (await store.ClearMarksAsync(webhook, long.MaxValue, settled))!;
}

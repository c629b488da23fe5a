using Grid.Abstractions;
using Grid.Testing.Webhooks;

namespace Grid.UnitTests.Webhooks.Grain;

internal static class Definitions
{
    /// <summary>A subscription to <c>orders</c>.</summary>
    public static WebhookDefinition Definition(this WebhookInbox inbox) => new() { Url = inbox.Url, Channels = ["orders"] };
}

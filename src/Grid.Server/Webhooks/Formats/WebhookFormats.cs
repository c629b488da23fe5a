namespace Grid.Server.Webhooks.Formats;

/// <summary>The formats that a subscription can choose from, by name.</summary>
internal sealed class WebhookFormats
{
    private readonly Dictionary<string, IWebhookFormat> _byName;

    /// <summary>Makes the formats.</summary>
    /// <param name="publicUrl">
    /// Where the outside world reaches this Grid, with http or https: it makes the <c>source</c> of CloudEvents absolute, as their
    /// specification recommends. Null leaves <c>source</c> relative.
    /// </param>
    public WebhookFormats(Uri? publicUrl = null)
    {
        var attributes = new CloudEventAttributes(publicUrl);
        IWebhookFormat[] all = [Default, new CloudEventsStructuredFormat(attributes), new CloudEventsBinaryFormat(attributes)];
        _byName = all.ToDictionary(f => f.Name, StringComparer.Ordinal);
    }

    /// <summary>What a subscription that chooses nothing gets.</summary>
    public static IWebhookFormat Default { get; } = new JsonEnvelopeFormat();

    /// <summary>The names, for messages to people.</summary>
    public IReadOnlyCollection<string> Names => _byName.Keys;

    /// <summary>The format of a name; null for an unknown one.</summary>
    public IWebhookFormat? Find(string name) => _byName.GetValueOrDefault(name);
}

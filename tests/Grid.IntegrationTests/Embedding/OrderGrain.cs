using Grid.Abstractions;

namespace Grid.IntegrationTests.Embedding;

/// <summary>A grain of an application that uses Grid, as its author would write it.</summary>
[Alias("shop.IOrderGrain")]
public interface IOrderGrain : IGrainWithStringKey
{
    /// <summary>Places an order and tells the shop's channel; the offset of the message.</summary>
    [Alias("place")]
    Task<long> PlaceAsync(string item);

    /// <summary>All that the channel has of this shop.</summary>
    [Alias("history")]
    Task<string[]> GetHistoryAsync();
}

/// <inheritdoc/>
public sealed class OrderGrain(IGrainFactory grains) : Grain, IOrderGrain
{
    private int _count;

    private IChannelGrain Channel => grains.GetChannel("default", $"orders:{this.GetPrimaryKeyString()}");

    /// <inheritdoc/>
    public async Task<long> PlaceAsync(string item)
    {
        var batch = PublishBatch.Json($$"""{"item":"{{item}}"}""", key: $"{this.GetPrimaryKeyString()}-{++_count}", eventName: "order.placed");
        var receipt = Assert.Single(await Channel.PublishAsync(batch));
        return receipt.Error is null ? receipt.Position.Offset : throw new InvalidOperationException($"{receipt.Error}");
    }

    /// <inheritdoc/>
    public async Task<string[]> GetHistoryAsync() =>
        [.. (await Channel.ReadAsync(after: 0, limit: 100)).Messages.Select(m => System.Text.Encoding.UTF8.GetString(m.Payload.Bytes.Span))];
}

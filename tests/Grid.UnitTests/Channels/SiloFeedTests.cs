using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;

namespace Grid.UnitTests.Channels;

/// <summary>What a channel remembers of a silo that listens.</summary>
public class SiloFeedTests
{
    private static readonly ChannelId Channel = new("default", "room:1");
    private readonly RecentMessages _recent = new(10, 1000);

    [Fact]
    public void One_batch_is_on_its_way_and_the_rest_accumulates()
    {
        var feed = new SiloFeed(new Position("e", 0));
        Assert.Null(feed.Next(Channel, Head(0), _recent));
        var first = feed.Next(Channel, Head(1), _recent);
        Assert.Equal(1, first!.Head.Head);
        Assert.Null(feed.Next(Channel, Head(5), _recent));
        Assert.True(feed.OnAck(new DeliverAck(true, new Position("e", 1))));
        Assert.Equal(5, feed.Next(Channel, Head(5), _recent)!.Head.Head);
    }

    [Fact]
    public void A_silo_without_subscribers_ends_the_feed()
    {
        var feed = new SiloFeed(new Position("e", 0));
        feed.Next(Channel, Head(1), _recent);
        Assert.False(feed.OnAck(default));
    }

    [Fact]
    public void A_silo_that_attached_again_meanwhile_keeps_the_feed()
    {
        var feed = new SiloFeed(new Position("e", 0));
        feed.Next(Channel, Head(1), _recent);
        feed.Renew();
        Assert.True(feed.OnAck(default));

        // What was refused is sent again, and a later refusal counts.
        Assert.NotNull(feed.Next(Channel, Head(1), _recent));
        Assert.False(feed.OnAck(default));
    }

    [Fact]
    public void To_attach_again_between_two_batches_changes_nothing()
    {
        var feed = new SiloFeed(new Position("e", 0));
        feed.Renew();
        feed.Next(Channel, Head(1), _recent);
        Assert.False(feed.OnAck(default));
    }

    [Fact]
    public void After_a_failure_nothing_is_sent_before_the_next_try()
    {
        var feed = new SiloFeed(new Position("e", 0));
        feed.Next(Channel, Head(1), _recent);
        feed.OnFailed();
        Assert.Equal(1, feed.Failures);
        Assert.Null(feed.Next(Channel, Head(2), _recent));
        feed.Retry();
        Assert.NotNull(feed.Next(Channel, Head(2), _recent));
        Assert.True(feed.OnAck(new DeliverAck(true, new Position("e", 2))));
        Assert.Equal(0, feed.Failures);
    }

    [Fact]
    public void A_silo_that_takes_nothing_is_not_asked_again_at_once()
    {
        var feed = new SiloFeed(new Position("other", 7));
        feed.Next(Channel, Head(1), _recent);
        Assert.True(feed.OnAck(new DeliverAck(true, new Position("other", 7))));
        Assert.Equal(1, feed.Failures);
        Assert.Null(feed.Next(Channel, Head(1), _recent));
        feed.Retry();
        Assert.NotNull(feed.Next(Channel, Head(1), _recent));
    }

    private static ChannelHead Head(long offset) => new("e", 1, offset);
}

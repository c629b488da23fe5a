using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Grid.Server.Webhooks;

namespace Grid.UnitTests.Webhooks;

public sealed class MarkedChannelsTests
{
    private readonly AppendNotices _notices = new();
    private readonly Listener _listener = new();

    [Fact]
    public void A_marked_channel_is_heard_until_its_mark_goes()
    {
        var marked = new MarkedChannels(_notices, "t", _listener);
        marked.Add("a");
        marked.Add("a");
        Append("a", 1);
        Append("b", 1);
        _notices.Appended(new ChannelId("u", "a"), new Position("e", 9));
        Assert.Equal([("a", 1L)], _listener.Heard);
        Assert.True(marked.Remove("a"));
        Assert.False(marked.Remove("a"));
        Append("a", 2);
        Assert.Equal([("a", 1L)], _listener.Heard);
        marked.Add("a");
        Append("a", 3);
        Assert.Equal([("a", 1L), ("a", 3L)], _listener.Heard);
    }

    [Fact]
    public void Every_append_is_heard_only_of_channels_that_are_appended_to_here()
    {
        var marked = new MarkedChannels(_notices, "t", _listener);
        marked.Add("a");
        Assert.False(marked.Hears("a"));
        _notices.Here(new ChannelId("t", "a"));
        Assert.True(marked.Hears("a"));
        Assert.False(marked.Hears("b"));
        _notices.Gone(new ChannelId("t", "a"));
        Assert.False(marked.Hears("a"));
    }

    [Fact]
    public void Only_some_of_very_many_channels_are_listened_to()
    {
        var marked = new MarkedChannels(_notices, "t", _listener);
        for (var i = 0; i < 100; i++)
        {
            marked.Add($"c{i}");
            _notices.Here(new ChannelId("t", $"c{i}"));
        }

        Assert.Equal(100, marked.Count);
        Assert.Equal(64, marked.Count(marked.Hears));
        marked.End();
        marked.Add("c0");
        Assert.Empty(marked);
        for (var i = 0; i < 100; i++) Append($"c{i}", 1);
        Assert.Empty(_listener.Heard);
    }

    [Fact]
    public void Listeners_that_come_and_go_at_once_lose_nothing()
    {
        var channel = new ChannelId("t", "a");
        Parallel.For(0, 4, _ =>
        {
            for (var i = 0; i < 2_000; i++)
            {
                var listener = new Listener();
                _notices.Listen(channel, listener);
                _notices.Appended(channel, new Position("e", i));
                _notices.Ignore(channel, listener);
                Assert.Contains(("a", (long)i), listener.Heard);
            }
        });
    }

    private void Append(string channel, long head) => _notices.Appended(new ChannelId("t", channel), new Position("e", head));

    private sealed class Listener : IAppendListener
    {
        public List<(string Channel, long Head)> Heard { get; } = [];

        // Told under the lock of the channel's listeners.
        public void OnAppended(ChannelId channel, Position head) => Heard.Add((channel.Name, head.Offset));
    }
}

using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Log;
using Xunit;

namespace Grid.Testing.Log;

/// <content>Keys, and what is forgotten: windows, trims, purges.</content>
public abstract partial class MessageLogConformance
{
    [Fact]
    public async Task A_key_is_stored_once()
    {
        var start = (await Log.GetHeadAsync(Channel())).Position;
        var head = (await Log.AppendAsync(Request(start, Channel(), Text(1, "a", key: "k1"), Text(2, "b"), Text(3, "c", key: "k2")))).Head;

        var again = await Log.AppendAsync(Request(
            head, Channel(), Text(4, "new", key: "k3"), Text(5, "a", key: "k1"), Text(6, "no key"), Text(7, "c", key: "k2")));
        Assert.Equal(AppendStatus.KeysSeen, again.Status);
        Assert.Equal(head, again.Head);
        Assert.Equal([new SeenKey(1, 1), new SeenKey(3, 3)], again.Seen);
        Assert.Equal(3, (await Log.GetHeadAsync(Channel())).Head);

        // Nothing of the refused append is known: its new key least of all.
        Assert.Equal(AppendStatus.Appended, (await Log.AppendAsync(Request(head, Channel(), Text(4, "new", key: "k3")))).Status);
        Assert.Equal((long[])[1, 0, 3, 4], await Log.FindKeysAsync(Channel(), ["k1", "unknown", "k2", "k3"]));
    }

    [Fact]
    public async Task A_key_appended_a_moment_ago_is_known()
    {
        var head = (await Log.GetHeadAsync(Channel())).Position;
        for (var i = 0; i < 30; i++)
        {
            // Not awaited one after the other: the second is to meet the first on its way.
            var first = Log.AppendAsync(Request(head, Channel(), Text(head.Offset + 1, "a", key: $"k{i}"))).AsTask();
            var next = head with { Offset = head.Offset + 1 };
            var second = Log.AppendAsync(Request(next, Channel(), Text(next.Offset + 1, "a", key: $"k{i}"))).AsTask();
            var third = Log.AppendAsync(Request(next, Channel(), Text(next.Offset + 1, "b", key: $"other{i}"))).AsTask();
            Assert.Equal(AppendStatus.Appended, (await first).Status);
            var seen = await second;
            Assert.Equal(AppendStatus.KeysSeen, seen.Status);
            Assert.Equal([new SeenKey(0, next.Offset)], seen.Seen);
            Assert.Equal(AppendStatus.Appended, (await third).Status);
            head = (await third).Head;
        }
    }

    [Fact]
    public async Task Keys_belong_to_their_channel()
    {
        foreach (var channel in new[] { Channel("room:1"), Channel("room:2"), Channel("room:1", tenant: "other") })
        {
            var head = (await Log.GetHeadAsync(channel)).Position;
            var result = await Log.AppendAsync(Request(head, channel, Text(1, "a", key: "k")));
            Assert.Equal(AppendStatus.Appended, result.Status);
        }
    }

    [Fact]
    public async Task Keys_are_forgotten_after_their_window()
    {
        var channel = Channel();
        var head = (await Log.GetHeadAsync(channel)).Position;
        head = (await Log.AppendAsync(new AppendRequest
        {
            Channel = channel, ExpectedHead = head, Messages = [Text(1, "short", key: "short")], KeyWindow = TimeSpan.FromMinutes(2),
        })).Head;
        head = (await Log.AppendAsync(Request(head, channel, Text(2, "long", key: "long")))).Head;

        Time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(AppendStatus.KeysSeen, (await Log.AppendAsync(Request(head, channel, Text(3, "x", key: "short")))).Status);

        Time.Advance(TimeSpan.FromMinutes(2));
        Assert.Equal((long[])[0, 2], await Log.FindKeysAsync(channel, ["short", "long"]));
        head = (await Log.AppendAsync(Request(head, channel, Text(3, "x", key: "short")))).Head;
        Assert.Equal(3, head.Offset);
        Assert.Equal((long[])[3, 2], await Log.FindKeysAsync(channel, ["short", "long"]));
        Assert.Equal(AppendStatus.KeysSeen, (await Log.AppendAsync(Request(head, channel, Text(4, "x", key: "long")))).Status);
    }

    [Fact]
    public async Task A_trim_raises_the_oldest_and_nothing_else()
    {
        var channel = Channel();
        var start = (await Log.GetHeadAsync(channel)).Position;
        Message[] messages = [.. Enumerable.Range(1, 30).Select(i => Text(i, $"m{i}", key: $"k{i}"))];
        var head = (await Log.AppendAsync(Request(start, channel, messages))).Head;

        await Log.TrimAsync(channel, 5);
        Assert.Equal(new ChannelHead(head.Epoch, 6, 30), await Log.GetHeadAsync(channel));
        Assert.Equal("m6", (await ReadTextsAsync(channel))[0]);
        Assert.Equal("m6", (await ReadTextsAsync(channel, after: 3))[0]);
        Assert.Equal("m21", (await ReadTextsAsync(channel, after: 20))[0]);

        // Backwards is nothing; so is an unknown channel.
        await Log.TrimAsync(channel, 3);
        await Log.TrimAsync(Channel("never:written"), 3);
        Assert.Equal(6, (await Log.GetHeadAsync(channel)).Oldest);
        Assert.Equal(1, (await Log.GetHeadAsync(Channel("never:written"))).Oldest);

        // Everything, and more than everything: the head stays.
        await Log.TrimAsync(channel, 1000);
        Assert.Equal(new ChannelHead(head.Epoch, 31, 30), await Log.GetHeadAsync(channel));
        Assert.Empty(await ReadTextsAsync(channel));

        // Keys outlive their messages, and offsets go on.
        Assert.Equal(AppendStatus.KeysSeen, (await Log.AppendAsync(Request(head, channel, Text(31, "x", key: "k2")))).Status);
        Assert.Equal(31, (await AppendAsync(channel, "after")).Offset);
        Assert.Equal(["after"], await ReadTextsAsync(channel));
        Assert.Equal(31, (await Log.GetHeadAsync(channel)).Oldest);
    }

    [Fact]
    public async Task A_purge_begins_another_epoch()
    {
        var channel = Channel();
        await AppendAsync(Channel("room:0"), "neighbour");
        var start = (await Log.GetHeadAsync(channel)).Position;
        var head = (await Log.AppendAsync(Request(start, channel, Text(1, "a", key: "k"), Text(2, "b")))).Head;

        var purged = await Log.PurgeAsync(channel);
        Assert.NotEqual(head.Epoch, purged.Epoch);
        Assert.Equal(new ChannelHead(purged.Epoch, 1, 0), purged);
        Assert.Equal(purged, await Log.GetHeadAsync(channel));
        Assert.Empty(await ReadTextsAsync(channel));
        Assert.Equal((long[])[0], await Log.FindKeysAsync(channel, ["k"]));

        // The old activation is fenced off; the key is free again.
        Assert.Equal(AppendStatus.HeadMoved, (await Log.AppendAsync(Request(head, channel, Text(3, "c")))).Status);
        Assert.Equal(AppendStatus.Appended, (await Log.AppendAsync(Request(purged.Position, channel, Text(1, "new", key: "k")))).Status);
        Assert.Equal(["new"], await ReadTextsAsync(channel));
        Assert.Equal(["neighbour"], await ReadTextsAsync(Channel("room:0")));

        var second = await Log.PurgeAsync(channel);
        Assert.NotEqual(purged.Epoch, second.Epoch);
        Assert.NotEqual(head.Epoch, second.Epoch);
        var unknown = await Log.GetHeadAsync(Channel("never:written"));
        Assert.NotEqual(unknown.Epoch, (await Log.PurgeAsync(Channel("never:written"))).Epoch);
    }
}

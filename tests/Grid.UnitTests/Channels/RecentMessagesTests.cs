using Grid.Protocol;
using Grid.Server.Channels;

namespace Grid.UnitTests.Channels;

public sealed class RecentMessagesTests
{
    private readonly RecentMessages _recent = new(maxMessages: 10, maxBytes: 1000);

    [Fact]
    public void What_everyone_has_is_dropped_and_the_rest_can_still_be_had()
    {
        Add(1, 8);
        _recent.DropUpTo(5);

        Assert.Empty(_recent.After(3));
        Assert.Equal([6, 7, 8], Offsets(5));
    }

    [Fact]
    public void After_all_was_dropped_it_goes_on_from_anywhere()
    {
        Add(1, 3);
        _recent.DropUpTo(3);
        Add(4, 2);
        Assert.Equal([4, 5], Offsets(3));

        _recent.DropUpTo(long.MaxValue);
        Add(90, 2);
        Assert.Equal([90, 91], Offsets(89));
    }

    [Fact]
    public void Bytes_that_were_dropped_count_no_longer()
    {
        Add(1, 2, bytes: 490);
        _recent.DropUpTo(1);
        Add(3, 1, bytes: 490);
        Assert.Equal([2, 3], Offsets(1));
    }

    [Fact]
    public void To_drop_what_was_never_there_does_nothing()
    {
        _recent.DropUpTo(7);
        Add(1, 2);
        _recent.DropUpTo(0);
        Assert.Equal([1, 2], Offsets(0));
    }

    private void Add(long from, int count, int bytes = 1) =>
        _recent.Add([.. Enumerable.Range(0, count).Select(i => new Message { Offset = from + i, At = 0, Payload = Payload.Binary(new byte[bytes]) })]);

    private long[] Offsets(long after) => [.. _recent.After(after).Select(m => m.Offset)];
}

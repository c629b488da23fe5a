using Grid.Testing.History;
using Grid.Testing.Load;

namespace Grid.UnitTests.Testing;

/// <summary>The load publisher's own order: a mistake here would accuse the server of turning messages around.</summary>
public class PublishLanesTests
{
    private readonly HistoryRecorder _history = new();
    private readonly PublishLanes _lanes = new();
    private long _id;

    [Fact]
    public void What_is_added_is_due_once_in_order()
    {
        Add("a", 0, 1);
        Add("b", 2);
        Assert.Equal([0L, 1, 2], Send(now: 0));
        Assert.Empty(Send(now: 0));
    }

    [Fact]
    public void A_refused_one_holds_its_channel_back_until_its_time_and_goes_first()
    {
        Add("a", 0);
        Send(now: 0);
        _lanes.Refused(_lanes.Answered(1)!, retryAt: 100);
        Add("a", 1);
        Add("b", 2);
        Assert.Equal([2L], Send(now: 99));
        Assert.Equal([0L, 1], Send(now: 100));
    }

    [Fact]
    public void A_refused_one_waits_for_all_answers_and_is_given_up_when_a_later_one_was_stored()
    {
        Add("a", 0, 1, 2);
        Send(now: 0);
        _lanes.Refused(_lanes.Answered(1)!, retryAt: 0);
        Assert.Empty(Send(now: 1));
        _lanes.Stored(_lanes.Answered(2)!);
        Assert.Empty(Send(now: 1));
        _lanes.Refused(_lanes.Answered(3)!, retryAt: 0);

        // 0 cannot be stored before 1 any more; 2 can be stored after it.
        Assert.Equal([2L], Send(now: 1));
        Assert.Equal(1, _lanes.GivenUp);
        Assert.Equal(1, _lanes.Count);
    }

    [Fact]
    public void A_lost_socket_sends_all_again_except_what_a_later_one_may_have_overtaken()
    {
        Add("a", 0, 1);
        Add("b", 2, 3);
        Send(now: 0);
        _lanes.Refused(_lanes.Answered(1)!, retryAt: 100);
        _lanes.Refused(_lanes.Answered(4)!, retryAt: 100);
        _lanes.Disconnected();

        // 1 may have been stored, so 0 is given up; 3 was refused itself, and 2 goes before it.
        Assert.Equal([1L, 2, 3], Send(now: 0));
        Assert.Equal(1, _lanes.GivenUp);
    }

    private void Add(string channel, params int[] numbers)
    {
        foreach (var number in numbers) _lanes.Add(_history.Publish("p", channel, $"k{number}", number, $"{number}"));
    }

    private List<long> Send(long now)
    {
        var due = _lanes.Due(now);
        foreach (var pending in due) _lanes.Sent(pending, ++_id);
        return [.. due.Select(p => p.Record.Sequence)];
    }
}

using System.Diagnostics;

namespace Grid.Server.Webhooks.Delivery;

/// <summary>A run of offsets.</summary>
/// <param name="From">The first.</param>
/// <param name="To">The last.</param>
internal readonly record struct OffsetRange(long From, long To)
{
    /// <summary>How many offsets these are.</summary>
    public long Count => To - From + 1;
}

/// <summary>
/// A set of offsets as sorted runs that neither overlap nor touch. A change costs a binary search and a shift; a run costs 16 bytes.
/// </summary>
internal sealed class OffsetRanges
{
    private readonly List<OffsetRange> _runs = [];

    /// <summary>How many runs there are.</summary>
    public int Runs => _runs.Count;

    /// <summary>How many offsets are in the set.</summary>
    public long Count { get; private set; }

    /// <summary>The highest offset; 0 when the set is empty.</summary>
    public long Last => _runs.Count == 0 ? 0 : _runs[^1].To;

    /// <summary>The runs by rising offset.</summary>
    public IReadOnlyList<OffsetRange> AsList => _runs;

    /// <summary>Adds a run.</summary>
    public void Add(long from, long to)
    {
        Debug.Assert(from <= to, "A run has at least one offset.");

        // The runs that the new one overlaps or touches become part of it.
        var first = IndexOfEnd(from - 1);
        var last = first;
        while (last < _runs.Count && _runs[last].From <= to + 1)
        {
            from = Math.Min(from, _runs[last].From);
            to = Math.Max(to, _runs[last].To);
            Count -= _runs[last].Count;
            last++;
        }

        Count += to - from + 1;
        if (last == first)
        {
            _runs.Insert(first, new OffsetRange(from, to));
            return;
        }

        _runs[first] = new OffsetRange(from, to);
        _runs.RemoveRange(first + 1, last - first - 1);
    }

    /// <summary>Whether an offset is in the set.</summary>
    public bool Contains(long offset)
    {
        var index = IndexOfEnd(offset);
        return index < _runs.Count && _runs[index].From <= offset;
    }

    /// <summary>The last offset of the run that follows directly on an offset (or holds it); the offset itself when none does.</summary>
    public long SkipFrom(long offset)
    {
        var index = IndexOfEnd(offset + 1);
        return index < _runs.Count && _runs[index].From <= offset + 1 ? _runs[index].To : offset;
    }

    /// <summary>The first offset of the set after an offset; <see cref="long.MaxValue"/> when there is none.</summary>
    public long NextAfter(long offset)
    {
        var index = IndexOfEnd(offset + 1);
        return index < _runs.Count ? Math.Max(_runs[index].From, offset + 1) : long.MaxValue;
    }

    /// <summary>Takes the first run off when it starts at an offset, and returns its end; else the offset before.</summary>
    public long TakeFrom(long offset)
    {
        if (_runs.Count == 0 || _runs[0].From > offset) return offset - 1;
        var run = _runs[0];
        _runs.RemoveAt(0);
        Count -= run.Count;
        return Math.Max(run.To, offset - 1);
    }

    /// <summary>The runs of offsets from one to another that are not in the set.</summary>
    public IEnumerable<OffsetRange> Holes(long from, long to)
    {
        for (var index = IndexOfEnd(from); from <= to; index++)
        {
            if (index == _runs.Count || _runs[index].From > to)
            {
                yield return new OffsetRange(from, to);
                yield break;
            }

            if (_runs[index].From > from) yield return new OffsetRange(from, _runs[index].From - 1);
            from = _runs[index].To + 1;
        }
    }

    /// <summary>Empties the set.</summary>
    public void Clear()
    {
        _runs.Clear();
        Count = 0;
    }

    /// <summary>The index of the first run that ends at an offset or later.</summary>
    private int IndexOfEnd(long offset)
    {
        var (low, high) = (0, _runs.Count);
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (_runs[middle].To < offset) low = middle + 1;
            else high = middle;
        }

        return low;
    }
}

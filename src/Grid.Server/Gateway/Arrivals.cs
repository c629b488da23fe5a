using Grid.Server.Relay;

namespace Grid.Server.Gateway;

/// <summary>
/// A connection's subscriptions that were made or moved and are not stored yet: nothing is delivered to them, and what a client asks
/// next of the same channel waits for them.
/// </summary>
/// <param name="gate">What guards them.</param>
internal sealed class Arrivals(object gate)
{
    private List<(Subscription Subscription, bool IsNew, TaskCompletionSource Settled)>? _arriving;

    /// <summary>How many of them are of channels that the session does not have yet.</summary>
    public int CountNew
    {
        get { lock (gate) return _arriving?.Count(a => a.IsNew) ?? 0; }
    }

    /// <summary>All of them.</summary>
    public Subscription[] All
    {
        get { lock (gate) return _arriving is null ? [] : [.. _arriving.Select(a => a.Subscription)]; }
    }

    /// <summary>One is on its way into the session.</summary>
    public void Add(Subscription subscription, bool isNew)
    {
        lock (gate)
            (_arriving ??= []).Add((subscription, isNew, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)));
    }

    /// <summary>It is stored, or could not be.</summary>
    public void Remove(Subscription subscription)
    {
        lock (gate)
        {
            var at = _arriving!.FindIndex(a => a.Subscription == subscription);
            _arriving[at].Settled.SetResult();
            _arriving.RemoveAt(at);

            // Most connections subscribe at their beginning and never again.
            if (_arriving.Count == 0) _arriving = null;
        }
    }

    /// <summary>Waits until none of a channel, or of any, is left.</summary>
    public async ValueTask WaitAsync(string? channel = null)
    {
        while (Find(channel) is { } settled) await settled;
    }

    private Task? Find(string? channel)
    {
        lock (gate)
        {
            if (_arriving is null) return null;
            foreach (var (subscription, _, settled) in _arriving)
            {
                if (channel is null || subscription.Id.Name == channel) return settled.Task;
            }

            return null;
        }
    }
}

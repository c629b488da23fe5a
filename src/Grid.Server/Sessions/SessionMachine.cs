using Grid.Abstractions;
using Grid.Protocol;

namespace Grid.Server.Sessions;

/// <summary>What the sweep should do with a session that came due.</summary>
internal enum ExpiryVerdict
{
    /// <summary>It has a socket, or its window goes on: look again later.</summary>
    Keep,

    /// <summary>Its socket is gone and nobody said so: the window starts now.</summary>
    StartWindow,

    /// <summary>It is over: forget it.</summary>
    Forget,
}

/// <summary>
/// Decides what becomes of a session: who holds it (generation), where its cursors stand, when it is over. No I/O and no clock: its
/// grain does both, a simulation as well.
/// </summary>
/// <param name="state">What is stored; changed in place.</param>
internal sealed class SessionMachine(SessionState state)
{
    /// <summary>Whether anything is known of the session.</summary>
    public bool Exists => state.User is not null;

    /// <summary>
    /// A socket takes the session up.
    /// </summary>
    /// <param name="request">Who, and with which cursors.</param>
    /// <param name="silo">The socket's silo, in parsable form.</param>
    /// <param name="nowMs">The time, in Unix milliseconds.</param>
    /// <param name="windowMs">How long a session outlives its socket.</param>
    /// <param name="mayRebuild">
    /// Whether state that is missing may have been lost rather than have expired: then a resume with cursors is believed, since the
    /// (verified) token says whose the session is and the client says where it stands.
    /// </param>
    /// <param name="maxSubscriptions">The most subscriptions of a session; cursors of further channels are left out of the answer.</param>
    public SessionAttached Attach(
        SessionAttach request, string silo, long nowMs, long windowMs, bool mayRebuild, int maxSubscriptions = int.MaxValue)
    {
        if (state.Closed) return new SessionAttached { State = WelcomeState.Expired };
        if (!request.Resume)
        {
            state.User = request.User;
            TakeUp(request.TokenGeneration, silo);
            return new SessionAttached { State = WelcomeState.New, Generation = state.Generation };
        }

        var rebuilt = !Exists;
        if (!rebuilt)
        {
            if (state.User != request.User || (state.DetachedAt > 0 && nowMs - state.DetachedAt > windowMs))
                return new SessionAttached { State = WelcomeState.Expired };
        }
        else if (mayRebuild && request.Cursors.Count > 0)
        {
            state.User = request.User;
        }
        else
        {
            return new SessionAttached { State = WelcomeState.Expired };
        }

        var known = new Dictionary<string, Position>(state.Cursors, StringComparer.Ordinal);

        // The client's cursors win: it knows what it has finished with. Channels it does not name keep the server's.
        foreach (var (channel, cursor) in request.Cursors)
        {
            if (state.Cursors.Count < maxSubscriptions || state.Cursors.ContainsKey(channel)) state.Cursors[channel] = cursor;
        }

        TakeUp(request.TokenGeneration, silo);
        return new SessionAttached
        {
            State = WelcomeState.Resumed,
            Generation = state.Generation,
            Subscriptions = new Dictionary<string, Position>(state.Cursors, StringComparer.Ordinal),
            Known = known,
            Rebuilt = rebuilt,
        };
    }

    /// <summary>A socket changes its subscriptions.</summary>
    public SessionCallStatus Change(SessionChange change)
    {
        if (Check(change.Generation) is var status and not SessionCallStatus.Ok) return status;
        foreach (var (channel, cursor) in change.Set) state.Cursors[channel] = cursor;
        foreach (var channel in change.Removed) state.Cursors.Remove(channel);
        return SessionCallStatus.Ok;
    }

    /// <summary>A socket reports everything it knows; also makes a session known again whose state was lost.</summary>
    public SessionCallStatus Checkpoint(SessionCheckpoint checkpoint, string silo, long nowMs)
    {
        if (state.Closed || (Exists && checkpoint.Generation < state.Generation)) return SessionCallStatus.Fenced;
        if (!Exists || checkpoint.Generation > state.Generation)
        {
            // Stored state older than the socket: an activation was lost between the attach and its first write. The socket's word
            // replaces it: a subscription that it moved back since then would else keep the older, higher cursor, and miss messages.
            state.User = checkpoint.User;
            state.Generation = checkpoint.Generation;
            state.Cursors.Clear();
        }

        foreach (var channel in state.Cursors.Keys.Except(checkpoint.Cursors.Keys).ToList()) state.Cursors.Remove(channel);
        foreach (var (channel, cursor) in checkpoint.Cursors)
        {
            if (!state.Cursors.TryGetValue(channel, out var known) || known.Epoch != cursor.Epoch || known.Offset < cursor.Offset)
                state.Cursors[channel] = cursor;
        }

        state.Silo = checkpoint.Detached ? null : silo;
        state.DetachedAt = checkpoint.Detached ? nowMs : 0;
        return SessionCallStatus.Ok;
    }

    /// <summary>The session is closed for good. False: nothing was known of it.</summary>
    public bool Close()
    {
        var existed = Exists && !state.Closed;
        state.Closed = true;
        state.Generation++;
        state.Cursors.Clear();
        state.Silo = null;
        return existed;
    }

    /// <summary>Judges a session that came due.</summary>
    /// <param name="nowMs">The time, in Unix milliseconds.</param>
    /// <param name="windowMs">How long a session outlives its socket.</param>
    /// <param name="held">Whether a live silo says that it holds the socket.</param>
    public ExpiryVerdict Judge(long nowMs, long windowMs, bool held)
    {
        if (!Exists || state.Closed) return ExpiryVerdict.Forget;
        if (state.DetachedAt > 0) return nowMs - state.DetachedAt > windowMs ? ExpiryVerdict.Forget : ExpiryVerdict.Keep;
        if (held) return ExpiryVerdict.Keep;
        (state.Silo, state.DetachedAt) = (null, nowMs);
        return ExpiryVerdict.StartWindow;
    }

    private void TakeUp(long tokenGeneration, string silo)
    {
        state.Generation = Math.Max(state.Generation, tokenGeneration) + 1;
        (state.Silo, state.DetachedAt) = (silo, 0);
    }

    private SessionCallStatus Check(long generation) =>
        state.Closed || (Exists && generation < state.Generation) ? SessionCallStatus.Fenced
        : !Exists || generation > state.Generation ? SessionCallStatus.Unknown
        : SessionCallStatus.Ok;
}

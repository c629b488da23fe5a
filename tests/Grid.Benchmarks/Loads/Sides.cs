using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads;

/// <summary>
/// The sides of a comparison take turns (A B A B). Their connections stay open between turns as long as the generator has files for all;
/// otherwise each side opens its own for its turn.
/// </summary>
/// <param name="servers">The sides.</param>
/// <param name="connections">How many connections each has.</param>
/// <param name="open">Opens a side's connections.</param>
/// <param name="close">Closes them.</param>
internal sealed class Sides<T>(IReadOnlyList<IServer> servers, int connections, Func<IServer, T> open, Action<T> close)
    where T : class
{
    private readonly T?[] _open = new T?[servers.Count];
    private readonly bool _staysOpen = (long)servers.Count * connections <= Rig.MaxOpen;

    /// <summary>Gives every side its turn, so many times.</summary>
    public void TakeTurns(int turns, Action<IServer, T> measure)
    {
        for (var turn = 0; turn < turns; turn++)
        {
            for (var i = 0; i < servers.Count; i++)
            {
                var load = _open[i] ??= open(servers[i]);
                measure(servers[i], load);
                if (_staysOpen) continue;
                close(load);
                _open[i] = null;
            }
        }
    }
}

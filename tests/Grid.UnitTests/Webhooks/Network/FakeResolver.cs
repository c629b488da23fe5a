using System.Net;
using System.Net.Sockets;
using Grid.Server.Webhooks.Network;

namespace Grid.UnitTests.Webhooks.Network;

/// <summary>Names with the addresses that a test gives them; each look-up takes the next answer, and the last stays.</summary>
internal sealed class FakeResolver : IHostResolver
{
    private readonly Dictionary<string, Queue<IPAddress[]>> _names = new(StringComparer.OrdinalIgnoreCase);
    private readonly Lock _lock = new();

    /// <summary>The names that were looked up.</summary>
    public List<string> Asked { get; } = [];

    /// <summary>A resolver by which every name is this machine.</summary>
    public static FakeResolver Loopback => new() { Fallback = [IPAddress.Loopback] };

    /// <summary>What names have that are not set.</summary>
    public IPAddress[]? Fallback { get; init; }

    /// <summary>Sets the answers for a name, one look-up after the other.</summary>
    public FakeResolver With(string name, params string[] answers)
    {
        _names[name] = new Queue<IPAddress[]>(answers.Select(a => a.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(IPAddress.Parse).ToArray()));
        return this;
    }

    public Task<IPAddress[]> ResolveAsync(string host, string tenant)
    {
        lock (_lock)
        {
            Asked.Add(host);
            if (!_names.TryGetValue(host, out var answers))
                return Fallback is { } all ? Task.FromResult(all) : Task.FromException<IPAddress[]>(new SocketException((int)SocketError.HostNotFound));
            return Task.FromResult(answers.Count > 1 ? answers.Dequeue() : answers.Peek());
        }
    }
}

using System.Diagnostics;
using System.Net;
using System.Runtime.InteropServices;

namespace Grid.Benchmarks.Net;

/// <summary>
/// All connections of the generator, on the calling thread: one epoll, one receive buffer for all, one send per connection and turn.
/// </summary>
internal sealed unsafe class EventLoop : IDisposable
{
    private const int MaxEvents = 512;
    private const int ReceiveBytes = 4 * 1024 * 1024;

    private readonly int _epoll = Libc.Check(Libc.epoll_create1(0x80000));
    private readonly byte[] _events = GC.AllocateArray<byte>(MaxEvents * 16, pinned: true);
    private readonly byte[] _receive = GC.AllocateArray<byte>(ReceiveBytes, pinned: true);
    private readonly List<LoadConnection> _dirty = [];
    private readonly Dictionary<int, LoadConnection> _connections = [];
    private readonly bool _packed = RuntimeInformation.ProcessArchitecture == Architecture.X64;
    private LoadConnection?[] _byFd = new LoadConnection?[1024];

    /// <summary>When <see cref="OnTimer"/> is due next, in <see cref="Stopwatch"/> ticks; <see cref="long.MaxValue"/> for never.</summary>
    public long NextTimer { get; set; } = long.MaxValue;

    /// <summary>Called when <see cref="NextTimer"/> is due; sets it anew.</summary>
    public Action? OnTimer { get; set; }

    /// <summary>Open connections.</summary>
    public int Count => _connections.Count;

    /// <summary>Connects to a server of this machine and gives the socket to a connection.</summary>
    public void Open(LoadConnection connection, IPEndPoint server, int receiveBuffer = 0)
    {
        Span<byte> address = stackalloc byte[4];
        if (!server.Address.TryWriteBytes(address, out var written) || written != 4)
            throw new ArgumentException("The generator speaks IPv4 only.", nameof(server));
        var fd = Libc.Connect(address, server.Port, receiveBuffer);
        if (fd >= _byFd.Length) Array.Resize(ref _byFd, Math.Max(fd + 1, _byFd.Length * 2));
        _byFd[fd] = connection;
        _connections[fd] = connection;
        connection.Attach(this, fd);
        Change(Libc.EpollAdd, fd, Libc.EpollIn);
        connection.Start();
    }

    /// <summary>Closes the socket of a connection; it gets no more calls.</summary>
    public void Close(LoadConnection connection)
    {
        if (connection.Fd < 0) return;
        _connections.Remove(connection.Fd);
        _byFd[connection.Fd] = null;
        _ = Libc.close(connection.Fd);
        connection.Detach();
    }

    /// <summary>Turns until a condition holds. False: the time was up first.</summary>
    public bool RunUntil(Func<bool> done, TimeSpan atMost)
    {
        var end = Stopwatch.GetTimestamp() + (long)(atMost.TotalSeconds * Stopwatch.Frequency);
        while (true)
        {
            Flush();
            if (done()) return true;
            var now = Stopwatch.GetTimestamp();
            if (now >= end) return false;
            if (now >= NextTimer)
            {
                OnTimer!();
                continue;
            }

            Turn(Math.Min(end, NextTimer) - now);
        }
    }

    /// <summary>Turns for a while.</summary>
    public void RunFor(TimeSpan time) => RunUntil(static () => false, time);

    /// <summary>Notes that a connection has something to send at the end of the turn.</summary>
    public void MarkDirty(LoadConnection connection) => _dirty.Add(connection);

    /// <summary>Sets what a connection waits for.</summary>
    public void Watch(LoadConnection connection, bool readable, bool writable) => Change(
        Libc.EpollModify, connection.Fd, (readable ? Libc.EpollIn : 0) | (writable ? Libc.EpollOut : 0));

    public void Dispose()
    {
        foreach (var connection in _connections.Values.ToArray()) Close(connection);
        _ = Libc.close(_epoll);
    }

    private void Flush()
    {
        for (var i = 0; i < _dirty.Count; i++) _dirty[i].Flush();
        _dirty.Clear();
    }

    private void Turn(long ticks)
    {
        // At most 10 ms, so that conditions which look at the clock are seen.
        var nanoseconds = Math.Min(10_000_000, ticks * (1_000_000_000 / Stopwatch.Frequency));
        var timeout = new Libc.Timespec { Seconds = 0, Nanoseconds = nanoseconds };
        int ready;
        fixed (byte* events = _events) ready = Libc.epoll_pwait2(_epoll, events, MaxEvents, &timeout, null);
        if (ready < 0 && Marshal.GetLastPInvokeError() != Libc.EIntr) Libc.Check(ready);
        for (var i = 0; i < ready; i++)
        {
            var (flags, fd) = Event(i);
            if (_byFd[fd] is not { } connection) continue;
            if ((flags & Libc.EpollOut) != 0) connection.Flush();
            if (connection.Fd == fd && (flags & (Libc.EpollIn | Libc.EpollErr | Libc.EpollHup)) != 0) connection.OnReadable(_receive);
        }
    }

    private (uint Flags, int Fd) Event(int index)
    {
        var at = _events.AsSpan(index * (_packed ? 12 : 16));
        return (MemoryMarshal.Read<uint>(at), MemoryMarshal.Read<int>(at[(_packed ? 4 : 8)..]));
    }

    private void Change(int operation, int fd, uint flags)
    {
        var change = stackalloc byte[16];
        new Span<byte>(change, 16).Clear();
        *(uint*)change = flags;
        *(int*)(change + (_packed ? 4 : 8)) = fd;
        Libc.Check(Libc.epoll_ctl(_epoll, operation, fd, change));
    }
}

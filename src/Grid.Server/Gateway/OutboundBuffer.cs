using System.Buffers;

namespace Grid.Server.Gateway;

/// <summary>
/// What waits to be written to one socket. The first bytes are written at once on the caller's thread; while that write is pending,
/// more gather in one rented buffer and go out as one write. An idle connection holds no buffer.
/// </summary>
/// <param name="stream">Where the bytes go.</param>
/// <param name="limit">How many bytes may wait; see <see cref="Hosting.GridOptions.MaxOutboundBytes"/>.</param>
/// <param name="onFailed">Called once, on any thread, when a write fails. Must not wait.</param>
internal sealed class OutboundBuffer(Stream stream, int limit, Action onFailed)
{
    private const int SmallestBuffer = 4096;

    private readonly Lock _gate = new();
    private byte[]? _pending;
    private int _pendingLength;
    private int _inFlight;
    private bool _writing;
    private bool _closed;
    private TaskCompletionSource? _roomWaiter;
    private TaskCompletionSource? _idleWaiter;
    private long _lastProgress;

    /// <summary>
    /// When a write that had to wait for the peer last completed, by <see cref="Environment.TickCount64"/>: a sign of life from a peer
    /// that reads slowly and has nothing to say.
    /// </summary>
    public long LastProgress => Volatile.Read(ref _lastProgress);

    /// <summary>How many more bytes <see cref="TryWrite"/> would take now; unbounded when nothing waits, so that any single one passes.</summary>
    public int Room
    {
        get
        {
            lock (_gate) return _closed ? 0 : Waiting == 0 ? int.MaxValue : limit - Waiting;
        }
    }

    /// <summary>Whether nothing is taken any more.</summary>
    public bool IsClosed
    {
        get { lock (_gate) return _closed; }
    }

    private int Waiting => _pendingLength + _inFlight;

    /// <summary>Takes bytes if there is room for them. They must not change afterwards.</summary>
    public bool TryWrite(ReadOnlyMemory<byte> bytes) => Enqueue(bytes, bounded: true);

    /// <summary>
    /// Takes bytes in any case: answers and control frames, whose number the read loop bounds by waiting for room. They must not
    /// change afterwards.
    /// </summary>
    public void Write(ReadOnlyMemory<byte> bytes) => Enqueue(bytes, bounded: false);

    /// <summary>Ends when at most half of the limit waits, or the buffer is closed.</summary>
    public Task WaitForRoomAsync()
    {
        lock (_gate)
        {
            if (_closed || Waiting <= limit / 2) return Task.CompletedTask;
            return (_roomWaiter ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Ends when nothing waits, or the buffer is closed.</summary>
    public Task FlushAsync()
    {
        lock (_gate)
        {
            if (_closed || !_writing) return Task.CompletedTask;
            return (_idleWaiter ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    /// <summary>Ends when nothing waits, the buffer is closed, or patience is at its end. For the last wait before <see cref="Close"/>.</summary>
    public async Task FlushAsync(TimeSpan patience, TimeProvider time)
    {
        TaskCompletionSource idle;
        lock (_gate)
        {
            if (_closed || !_writing) return;
            idle = _idleWaiter ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        // A timer that ends with the wait: many connections may end at once, and none should leave one behind.
        await using var timer = time.CreateTimer(
            static s => ((TaskCompletionSource)s!).TrySetResult(), idle, patience, Timeout.InfiniteTimeSpan);
        await idle.Task;
    }

    /// <summary>Drops what waits and takes nothing more.</summary>
    public void Close()
    {
        TaskCompletionSource? room, idle;
        lock (_gate)
        {
            _closed = true;
            _pendingLength = 0;
            if (_pending is not null) ArrayPool<byte>.Shared.Return(_pending);
            _pending = null;
            (room, idle) = (_roomWaiter, _idleWaiter);
            _roomWaiter = _idleWaiter = null;
        }

        room?.TrySetResult();
        idle?.TrySetResult();
    }

    private bool Enqueue(ReadOnlyMemory<byte> bytes, bool bounded)
    {
        lock (_gate)
        {
            if (_closed) return false;
            if (_writing)
            {
                if (bounded && Waiting + bytes.Length > limit) return false;
                Append(bytes.Span);
                return true;
            }

            _writing = true;
            _inFlight = bytes.Length;
        }

        WriteAll(bytes, rented: null);
        return true;
    }

    /// <summary>Writes for as long as writes complete at once; a write that must wait goes on by itself.</summary>
    private void WriteAll(ReadOnlyMemory<byte> bytes, byte[]? rented)
    {
        do
        {
            try
            {
                var write = stream.WriteAsync(bytes);
                if (!write.IsCompletedSuccessfully)
                {
                    _ = AwaitWriteAsync(write, rented);
                    return;
                }
            }
            catch (Exception)
            {
                Fail(rented);
                return;
            }
        }
        while (TryTakeNext(ref rented, out bytes));
    }

    private async Task AwaitWriteAsync(ValueTask write, byte[]? rented)
    {
        try
        {
            await write;
        }
        catch (Exception)
        {
            Fail(rented);
            return;
        }

        Volatile.Write(ref _lastProgress, Environment.TickCount64);
        if (TryTakeNext(ref rented, out var bytes)) WriteAll(bytes, rented);
    }

    private bool TryTakeNext(ref byte[]? rented, out ReadOnlyMemory<byte> bytes)
    {
        if (rented is not null) ArrayPool<byte>.Shared.Return(rented);
        TaskCompletionSource? room = null, idle = null;
        var more = false;
        lock (_gate)
        {
            (rented, bytes) = (_pending, _pending.AsMemory(0, _pendingLength));
            _inFlight = _pendingLength;
            (_pending, _pendingLength) = (null, 0);
            if (_closed || rented is null)
            {
                _writing = false;
                _inFlight = 0;
                (idle, _idleWaiter) = (_idleWaiter, null);
            }
            else
            {
                more = true;
            }

            if (_roomWaiter is not null && Waiting <= limit / 2) (room, _roomWaiter) = (_roomWaiter, null);
        }

        room?.TrySetResult();
        idle?.TrySetResult();
        return more;
    }

    private void Fail(byte[]? rented)
    {
        if (rented is not null) ArrayPool<byte>.Shared.Return(rented);
        Close();
        onFailed();
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        var needed = _pendingLength + bytes.Length;
        if (_pending is null || _pending.Length < needed)
        {
            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(SmallestBuffer, needed));
            if (_pending is not null)
            {
                _pending.AsSpan(0, _pendingLength).CopyTo(larger);
                ArrayPool<byte>.Shared.Return(_pending);
            }

            _pending = larger;
        }

        bytes.CopyTo(_pending.AsSpan(_pendingLength));
        _pendingLength = needed;
    }
}

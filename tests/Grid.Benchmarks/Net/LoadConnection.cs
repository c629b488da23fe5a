using System.Buffers;
using System.Runtime.InteropServices;

namespace Grid.Benchmarks.Net;

/// <summary>
/// One socket of the generator. It owns no buffer while nothing is pending; bytes that end amid a frame wait in a rented one.
/// </summary>
/// <param name="load">Who is told what arrives.</param>
/// <param name="index">The connection's number in its load.</param>
internal abstract class LoadConnection(Load load, int index)
{
    private byte[]? _carry;
    private int _carried;
    private byte[]? _out;
    private int _sent;
    private int _outLength;
    private bool _dirty;
    private bool _paused;
    private bool _wantsWrite;

    /// <summary>Who is told what arrives.</summary>
    public Load Load { get; } = load;

    /// <summary>The connection's number in its load.</summary>
    public int Index { get; } = index;

    /// <summary>The channel it subscribes or publishes to.</summary>
    public required string Channel { get; init; }

    /// <summary>Whether it subscribes when it is open.</summary>
    public bool Subscribes { get; init; }

    /// <summary>Messages received: in an ordered channel also the number of the last of them.</summary>
    public long Received { get; set; }

    /// <summary>Its descriptor; -1 when closed.</summary>
    public int Fd { get; private set; } = -1;

    protected EventLoop Loop { get; private set; } = null!;

    public void Attach(EventLoop loop, int fd) => (Loop, Fd) = (loop, fd);

    /// <summary>Forgets what belonged to the socket.</summary>
    public virtual void Detach()
    {
        Fd = -1;
        if (_carry is not null) ArrayPool<byte>.Shared.Return(_carry);
        if (_out is not null) ArrayPool<byte>.Shared.Return(_out);
        (_carry, _out) = (null, null);
        (_carried, _sent, _outLength) = (0, 0, 0);
        (_paused, _wantsWrite) = (false, false);
    }

    /// <summary>Sends the first bytes of the connection.</summary>
    public abstract void Start();

    /// <summary>Publishes one message that carries the time given and who sends.</summary>
    public abstract void Publish(long ticks);

    /// <summary>Stops or goes on reading: a consumer that does not keep up.</summary>
    public void Pause(bool paused)
    {
        _paused = paused;
        Loop.Watch(this, !paused, _wantsWrite);
    }

    /// <summary>Takes what was received; returns how many bytes of it are done with.</summary>
    protected abstract int Consume(Span<byte> bytes);

    public void OnReadable(byte[] buffer)
    {
        // What was cut off last goes in front, so that frames always lie in one piece.
        _carry.AsSpan(0, _carried).CopyTo(buffer);
        var got = Libc.Receive(Fd, buffer.AsSpan(_carried));
        if (got <= 0)
        {
            if (got < 0 && Marshal.GetLastPInvokeError() is Libc.EAgain or Libc.EIntr) return;
            Fail("closed by the server");
            return;
        }

        Load.OnRead();
        var length = _carried + got;
        var used = Consume(buffer.AsSpan(0, length));
        if (Fd >= 0) Carry(buffer.AsSpan(used, length - used));
    }

    public void Flush()
    {
        _dirty = false;
        if (Fd < 0) return;
        BeforeFlush();
        while (_sent < _outLength)
        {
            var sent = Libc.Send(Fd, _out.AsSpan(_sent, _outLength - _sent));
            if (sent < 0)
            {
                if (Marshal.GetLastPInvokeError() is not (Libc.EAgain or Libc.EIntr))
                {
                    Fail("closed by the server");
                    return;
                }

                WantWrite(true);
                return;
            }

            _sent += sent;
        }

        (_sent, _outLength) = (0, 0);
        if (_out is not null) ArrayPool<byte>.Shared.Return(_out);
        _out = null;
        WantWrite(false);
    }

    /// <summary>Room for bytes at the end of what is sent with this turn.</summary>
    protected Span<byte> Append(int length)
    {
        if (!_dirty)
        {
            _dirty = true;
            Loop.MarkDirty(this);
        }

        if (_out is null || _out.Length - _outLength < length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(1024, (_outLength - _sent + length) * 2));
            _out.AsSpan(_sent, _outLength - _sent).CopyTo(larger);
            if (_out is not null) ArrayPool<byte>.Shared.Return(_out);
            (_out, _outLength, _sent) = (larger, _outLength - _sent, 0);
        }

        var span = _out.AsSpan(_outLength, length);
        _outLength += length;
        return span;
    }

    /// <summary>A last chance to add bytes to the turn's send.</summary>
    protected virtual void BeforeFlush()
    {
    }

    protected void MarkDirty()
    {
        if (_dirty) return;
        _dirty = true;
        Loop.MarkDirty(this);
    }

    /// <summary>Ends the connection and says why.</summary>
    protected void Fail(string reason)
    {
        Loop.Close(this);
        Load.OnFault(this, reason);
    }

    private void WantWrite(bool wants)
    {
        if (_wantsWrite == wants) return;
        _wantsWrite = wants;
        Loop.Watch(this, !_paused, wants);
    }

    private void Carry(ReadOnlySpan<byte> rest)
    {
        if (rest.IsEmpty)
        {
            if (_carry is not null) ArrayPool<byte>.Shared.Return(_carry);
            (_carry, _carried) = (null, 0);
            return;
        }

        if (_carry is null || _carry.Length < rest.Length)
        {
            if (_carry is not null) ArrayPool<byte>.Shared.Return(_carry);
            _carry = ArrayPool<byte>.Shared.Rent(rest.Length);
        }

        rest.CopyTo(_carry);
        _carried = rest.Length;
    }
}

namespace Grid.Server.Gateway;

/// <summary>
/// The stream that the library's WebSocket reads from. What the library writes by itself (pongs) goes through the connection's
/// outbound buffer, so that it never mixes with frames being written; its close frames are dropped, since the connection writes its
/// own with the contract's codes.
/// </summary>
internal sealed class SocketStream(Stream inner, OutboundBuffer outbound) : Stream
{
    private const int CloseOpcode = 8;
    private long _lastReceived = Environment.TickCount64;

    /// <summary>Where the connection's frames go.</summary>
    public OutboundBuffer Outbound => outbound;

    /// <summary>When bytes were last received, by <see cref="Environment.TickCount64"/>.</summary>
    public long LastReceived => Volatile.Read(ref _lastReceived);

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        // Asked for more, so the last read gave something: no continuation per read is needed to know it, not even for a pong.
        Volatile.Write(ref _lastReceived, Environment.TickCount64);
        return inner.ReadAsync(buffer, cancellationToken);
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.Length == 0 || (buffer.Span[0] & 0x0F) == CloseOpcode) return ValueTask.CompletedTask;

        // The library writes each frame in one call, and reuses its buffer afterwards.
        outbound.Write(buffer.ToArray());

        // It answers pings inside its read, unseen by the read loop: a peer that pings and reads no answers is not read from either.
        return new ValueTask(outbound.WaitForRoomAsync());
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing) inner.Dispose();
        base.Dispose(disposing);
    }
}

using System.Buffers;
using System.Threading.Tasks.Sources;
using Grid.Protocol;

namespace Grid.Server.Log.Postgres;

/// <summary>A run of messages in an append's buffer.</summary>
/// <param name="Start">Where it begins in the buffer.</param>
/// <param name="Length">Its bytes.</param>
/// <param name="Last">The offset of its last message.</param>
/// <param name="Count">Its messages.</param>
/// <param name="Total">Payload bytes of the append up to and with it.</param>
/// <param name="At">The time of its last message.</param>
internal readonly record struct EncodedAppendRun(int Start, int Length, long Last, int Count, long Total, long At);

/// <summary>One append on its way to the database; reused, with the completion source and the encoded messages in it.</summary>
internal sealed class PostgresAppend(PostgresMessageLog log) : IValueTaskSource<AppendResult>
{
    private readonly List<EncodedAppendRun> _runs = [];
    private ManualResetValueTaskSourceCore<AppendResult> _source = new() { RunContinuationsAsynchronously = true };
    private byte[] _buffer = [];

    /// <summary>What is to be appended.</summary>
    public AppendRequest Request { get; private set; } = null!;

    /// <summary>The channel as its row names it.</summary>
    public string Name { get; private set; } = "";

    /// <summary>About what it takes in memory and in the statement.</summary>
    public int Bytes { get; private set; }

    /// <summary>Payload bytes of all its messages.</summary>
    public long PayloadBytes { get; private set; }

    /// <summary>The rows of messages.</summary>
    public IReadOnlyList<EncodedAppendRun> Runs => _runs;

    /// <summary>The next append of the same channel, which waits for this one.</summary>
    public PostgresAppend? Next { get; set; }

    /// <summary>The token for the task.</summary>
    public short Version => _source.Version;

    /// <summary>Takes up a request and encodes its messages.</summary>
    public void Begin(AppendRequest request)
    {
        Request = request;
        Name = request.Channel.ToString();
        Next = null;
        _runs.Clear();
        var size = 0;
        var messages = request.Messages;
        for (var i = 0; i < messages.Count; i++) size += MessageRun.Size(messages[i]) + MessageRun.HeaderBytes;
        _buffer = ArrayPool<byte>.Shared.Rent(size);
        Bytes = size + 256;
        Encode(messages);
    }

    /// <summary>The bytes of a run.</summary>
    public ReadOnlyMemory<byte> Body(EncodedAppendRun run) => _buffer.AsMemory(run.Start, run.Length);

    /// <summary>The head after it was appended.</summary>
    public Position NewHead => Request.ExpectedHead with { Offset = Request.ExpectedHead.Offset + Request.Messages.Count };

    /// <summary>Answers the caller.</summary>
    public void Answer(AppendResult result)
    {
        Release();
        _source.SetResult(result);
    }

    /// <summary>Fails the caller.</summary>
    public void Fail(Exception reason)
    {
        Release();
        _source.SetException(reason);
    }

    /// <summary>Takes it back before it was queued: nobody answers it, and nobody waits.</summary>
    public void Abandon()
    {
        Release();
        log.Return(this);
    }

    /// <inheritdoc/>
    public AppendResult GetResult(short token)
    {
        try
        {
            return _source.GetResult(token);
        }
        finally
        {
            _source.Reset();
            log.Return(this);
        }
    }

    /// <inheritdoc/>
    public ValueTaskSourceStatus GetStatus(short token) => _source.GetStatus(token);

    /// <inheritdoc/>
    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _source.OnCompleted(continuation, state, token, flags);

    private void Encode(IReadOnlyList<Message> messages)
    {
        PayloadBytes = 0;
        var start = 0;
        for (var first = 0; first < messages.Count;)
        {
            var rest = MessageRun.Begin(_buffer.AsSpan(start));
            var length = MessageRun.HeaderBytes;
            var next = first;
            do
            {
                var message = messages[next++];
                var left = rest.Length;
                rest = MessageRun.Add(rest, message);
                length += left - rest.Length;
                PayloadBytes += message.Payload.Bytes.Length;
            }
            while (next < messages.Count && length + MessageRun.Size(messages[next]) <= MessageRun.MaxBytes);
            _runs.Add(new EncodedAppendRun(
                start, length, messages[next - 1].Offset, next - first, PayloadBytes, messages[next - 1].At));
            start += length;
            first = next;
        }
    }

    private void Release()
    {
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
        Request = null!;
        Next = null;
    }
}

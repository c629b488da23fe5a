using System.Buffers;
using System.Text;
using System.Text.Json;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Relay;
using Grid.Server.Tenancy;

namespace Grid.Server.Gateway;

/// <summary>One reader of a channel over Server-Sent Events: a cursor like any other, without a session.</summary>
internal sealed class EventStream : IConsumer, IGatewayConnection
{
    private static readonly byte[] Comment = ":\n\n"u8.ToArray();

    private readonly GatewayServices _services;
    private readonly Caller _caller;
    private readonly OutboundBuffer _outbound;
    private readonly CatchUpPump _catchUp;
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _lastComment = Environment.TickCount64;

    /// <summary>Makes a stream over a response body.</summary>
    public EventStream(GatewayServices services, Caller caller, Stream body)
    {
        _services = services;
        _caller = caller;
        _outbound = new OutboundBuffer(body, services.Options.MaxOutboundBytes, End);
        _catchUp = new CatchUpPump(_outbound, services.Work, services.Time, services.Logger);
    }

    /// <inheritdoc/>
    public IDeliveryEncoder Encoder => EventStreamEncoder.Instance;

    /// <inheritdoc/>
    public int Room => _outbound.Room;

    /// <inheritdoc/>
    public bool IsEnding => _ended.Task.IsCompleted;

    /// <summary>Streams until the reader goes, the credential expires or the silo drains.</summary>
    public async Task RunAsync(Subscription subscription, GapFrame? first, CancellationToken aborted)
    {
        _services.Registry.Add(this);
        _services.Metrics.StreamBegan();
        await using var registration = aborted.UnsafeRegister(static s => ((EventStream)s!).End(), this);
        try
        {
            _outbound.Write(Comment);
            if (first is not null)
            {
                _services.Hub.Metrics.Gap(first.Reason);
                _outbound.Write(EncodedRun.Gap(Encoder, first));
            }

            subscription.Channel.Start(subscription);
            await _ended.Task;
        }
        finally
        {
            subscription.Channel.Leave(subscription);
            _outbound.Close();
            _services.Registry.Remove(this);
            _services.Metrics.StreamEnded();
        }
    }

    /// <inheritdoc/>
    public bool TryDeliver(ReadOnlyMemory<byte> bytes) => _outbound.TryWrite(bytes);

    /// <inheritdoc/>
    public void OnBehind(Subscription subscription) => _catchUp.Add(subscription);

    /// <inheritdoc/>
    public void OnTooSlow(Subscription subscription) => End();

    /// <inheritdoc/>
    public void Tick(long now)
    {
        if (_caller.ExpiresAt is { } expiresAt && expiresAt <= _services.Time.GetUtcNow())
        {
            End();
            return;
        }

        if (now - _lastComment < _services.Options.Heartbeat.TotalMilliseconds) return;
        _lastComment = now;
        _outbound.TryWrite(Comment);
    }

    /// <inheritdoc/>
    public void GoAway(TimeSpan reconnectIn) =>
        _outbound.Write(Encoding.ASCII.GetBytes($"retry: {(int)reconnectIn.TotalMilliseconds}\n\n"));

    /// <inheritdoc/>
    public void ReportWithin(TimeSpan delay)
    {
        // It has no session: its reader holds the cursor.
    }

    /// <inheritdoc/>
    public void CloseForDrain() => End();

    private void End() => _ended.TrySetResult();
}

/// <summary>Encodes deliveries as events whose id is <c>epoch:offset</c>, which <c>Last-Event-ID</c> brings back.</summary>
internal sealed class EventStreamEncoder : IDeliveryEncoder
{
    /// <summary>The one instance.</summary>
    public static EventStreamEncoder Instance { get; } = new();

    /// <inheritdoc/>
    public void EncodeMessage(ChannelId channel, string epoch, Message message, IBufferWriter<byte> output)
    {
        Head("message", new Position(epoch, message.Offset), output);
        var item = new ArrayBufferWriter<byte>(256);
        using (var writer = new Utf8JsonWriter(item)) JsonWireCodec.WriteMessageItem(writer, message, channel.Name);
        Data(item.WrittenSpan, output);
    }

    /// <inheritdoc/>
    public void EncodeGap(GapFrame gap, IBufferWriter<byte> output)
    {
        Head("gap", new Position(gap.Epoch, gap.To), output);
        var item = new ArrayBufferWriter<byte>(256);
        JsonWireCodec.Instance.Encode(gap, item);
        Data(item.WrittenSpan, output);
    }

    private static void Head(string kind, Position position, IBufferWriter<byte> output) =>
        Encoding.UTF8.GetBytes($"event: {kind}\nid: {position}\n", output);

    /// <summary>Payloads are kept as they came, line breaks among them: each line becomes a data line of its own.</summary>
    private static void Data(ReadOnlySpan<byte> json, IBufferWriter<byte> output)
    {
        while (true)
        {
            var end = json.IndexOfAny((byte)'\n', (byte)'\r');
            output.Write("data: "u8);
            output.Write(end < 0 ? json : json[..end]);
            output.Write("\n"u8);
            if (end < 0) break;
            json = json[(end + 1)..];
        }

        output.Write("\n"u8);
    }
}

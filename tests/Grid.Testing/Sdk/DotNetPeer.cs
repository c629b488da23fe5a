using System.Text;
using Grid.Client;
using Grid.Protocol;
using Grid.Testing.History;
using Grid.Testing.Wire;

namespace Grid.Testing.Sdk;

/// <summary>A user of the C# SDK.</summary>
public sealed class DotNetPeer : Peer
{
    private readonly CuttableTransport _transport;
    private readonly GridClient _client;
    private IReadOnlyList<string> _channels = [];

    public DotNetPeer(string name, HistoryRecorder history, Uri host, string token, string? subprotocol = null)
        : this(name, history, () => host, token, subprotocol)
    {
    }

    /// <summary>Makes a user that connects to whichever host is picked.</summary>
    public DotNetPeer(string name, HistoryRecorder history, Func<Uri> pick, string token, string? subprotocol = null)
        : base(name, history)
    {
        _transport = new CuttableTransport { Pick = pick };
        _client = new GridClient(new GridClientOptions
        {
            Uri = pick(),
            Token = token,
            ClientName = name,
            Transport = _transport,
            Codec = (subprotocol ?? Subprotocols.Default) == Subprotocols.Proto ? ProtoWireCodec.Instance : JsonWireCodec.Instance,
            BackoffMin = TimeSpan.FromMilliseconds(50),
            BackoffMax = TimeSpan.FromMilliseconds(500),

            // A host that hangs takes connections and says nothing.
            ConnectTimeout = TimeSpan.FromSeconds(10),

            // A start of the host on a loaded machine is the longest outage.
            PublishTimeout = TimeSpan.FromMinutes(3),
        });
        _client.SessionExpired += (_, e) => Oddities.Enqueue($"{name}: the session {e.PreviousSession} expired");
        _client.Error += (_, e) =>
        {
            if (e.Error.Code == GridErrorCodes.Connection || (MayBeUnavailable && e.Error.Code == "unavailable")) return;
            Oddities.Enqueue($"{name}: {e.Error.Code} {e.Error.Message}");
        };
    }

    public override async Task StartAsync(IReadOnlyList<string> channels, TestDeadline deadline)
    {
        _channels = channels;
        foreach (var channel in channels) Following(channel);
        await _client.ConnectAsync(deadline.Token);
        foreach (var channel in channels)
        {
            var options = new SubscribeOptions { OnGap = OnGap };
            await _client.SubscribeAsync(channel, StartPoint.Start, OnMessage, options, deadline.Token);
        }
    }

    public override async Task PublishAsync(int count, TestDeadline deadline)
    {
        using var window = new SemaphoreSlim(64);
        var answers = new List<Task>();
        for (var n = 0; n < count && !Finishing; n++)
        {
            await window.WaitAsync(deadline.Token);
            var (sequence, channel) = (n, _channels[n % _channels.Count]);

            // Called one after the other, so that the calls' order is the order of the numbers; only the answers are awaited apart.
            var payload = PayloadOf(Name, sequence);
            var answer = _client.PublishAsync(channel, Payload.Json(Encoding.UTF8.GetBytes(payload)));
            answers.Add(NoteAsync(answer, channel, sequence, payload, window));
            if (Pace > TimeSpan.Zero) await Task.Delay(Pace, deadline.Token);
        }

        await Task.WhenAll(answers).WaitAsync(deadline.Token);
    }

    public override void Cut() => _transport.Cut();

    public override async ValueTask DisposeAsync() => await _client.DisposeAsync();

    private async Task NoteAsync(Task<PublishReceipt> answer, string channel, long sequence, string payload, SemaphoreSlim window)
    {
        try
        {
            var receipt = await answer;
            Answered(new PublishOutcome(channel, sequence, payload, receipt.Epoch, receipt.Offset, receipt.Duplicate));
        }
        catch (GridException e)
        {
            Answered(new PublishOutcome(channel, sequence, payload, null, 0, false, e.Code, e.OutcomeUnknown));
        }
        finally
        {
            window.Release();
        }
    }

    private ValueTask OnMessage(GridMessage message, CancellationToken cancellationToken)
    {
        Received(message.Channel, message.Epoch, message.Offset, message.Key, Encoding.UTF8.GetString(message.Payload.Bytes.Span));
        return ValueTask.CompletedTask;
    }

    private ValueTask OnGap(GridGap gap, CancellationToken cancellationToken)
    {
        ReceivedGap(gap.Channel, gap.Epoch, gap.From, gap.To, gap.Reason.ToString().ToLowerInvariant());
        return ValueTask.CompletedTask;
    }
}

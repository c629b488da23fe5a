using System.Buffers;
using System.Globalization;
using System.Text.Json;
using System.Text.Unicode;
using Grid.Protocol;

namespace Grid.Client;

/// <content>Publishing.</content>
public sealed partial class GridClient
{
    /// <summary>
    /// Publishes and forgets: no answer, no key of its own, no repeat. For data that is stale a moment later, such as a pointer's place,
    /// on channels of an ephemeral namespace.
    /// </summary>
    /// <returns>False when the message was dropped: not connected, the socket congested (256 waiting), or larger than a frame.</returns>
    /// <exception cref="ArgumentException">The channel, key, event or JSON is not valid, or <c>IfOffset</c> is set.</exception>
    public bool TryPublish(string channel, Payload payload, PublishOptions? options = null)
    {
        options ??= new PublishOptions();
        if (options.IfOffset is not null) throw new ArgumentException("IfOffset needs an answer: use PublishAsync.", nameof(options));
        Check(channel, options);
        Checked(payload);
        lock (Gate)
        {
            if (_link is not { Closing: null } link || link.Ephemeral.Count >= Link.MaxEphemeral) return false;
            var frame = Encode(new PublishFrame { Channel = channel, Payload = payload, Key = options.Key, Event = options.Event });
            if (frame.Length > link.MaxFrameBytes) return false;
            link.Ephemeral.Enqueue(frame);
            link.Outgoing.Set();
            return true;
        }
    }

    /// <summary>Completes when every publish made so far has its answer, good or bad. Also sends the acks that wait.</summary>
    public async Task FlushAsync(CancellationToken cancellationToken = default)
    {
        Task answers;
        lock (Gate)
        {
            answers = Task.WhenAll(_publishes.Answers.ToList());
            if (_acks.DueAt is not null) _acks.Hurry();
            _link?.Outgoing.Set();
        }

        // How each came out is its own caller's business.
        await answers.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
    }

    private static void Check(string channel, PublishOptions options)
    {
        CheckChannel(channel);
        if (options.Key is { } key && !Message.IsValidKey(key))
            throw new ArgumentException($"A key is 1 to {Message.MaxKeyBytes} bytes of text.", nameof(options));
        if (options.Event is { } name && !Message.IsValidEvent(name))
            throw new ArgumentException($"An event is 1 to {Message.MaxEventLength} characters of text.", nameof(options));
        if (options.IfOffset is < 0) throw new ArgumentException("IfOffset must not be negative.", nameof(options));
    }

    private static void CheckChannel(string channel)
    {
        ArgumentNullException.ThrowIfNull(channel);
        if (!ChannelName.IsValid(channel))
            throw new ArgumentException("A channel name is 1 to 200 characters of A-Z a-z 0-9 _ . : ~ @ -", nameof(channel));
    }

    /// <summary>Refuses JSON that is none: in a frame it would be a protocol violation, which ends the client for good.</summary>
    private static Payload Checked(Payload payload)
    {
        if (payload.IsBinary) return payload;
        try
        {
            if (!Utf8.IsValid(payload.Bytes.Span)) throw new JsonException("Not UTF-8.");
            var reader = new Utf8JsonReader(payload.Bytes.Span, new JsonReaderOptions { MaxDepth = WireLimits.MaxDepth });
            while (reader.Read())
            {
            }

            return payload;
        }
        catch (JsonException e)
        {
            throw new ArgumentException("The payload is not one JSON value.", nameof(payload), e);
        }
    }

    private ReadOnlyMemory<byte> Encode(ClientFrame frame)
    {
        var buffer = new ArrayBufferWriter<byte>(512);
        Options.Codec.Encode(frame, buffer);
        return buffer.WrittenMemory;
    }

    private async Task<PublishReceipt> PublishCoreAsync(
        string channel, Payload payload, PublishOptions options, CancellationToken cancellationToken)
    {
        Check(channel, options);
        cancellationToken.ThrowIfCancellationRequested();
        PendingPublish publish;
        lock (Gate)
        {
            if (_end is not null || _stopping) throw Ended(channel);
            var id = ++_lastId;
            var key = options.Key ?? string.Create(CultureInfo.InvariantCulture, $"{_keyPrefix}-{++_lastKey}");
            publish = new PendingPublish
            {
                Id = id,
                Channel = channel,
                Deadline = Now + Options.PublishTimeout,
                Frame = Encode(new PublishFrame
                {
                    Id = id, Channel = channel, Payload = payload, Key = key, Event = options.Event, IfOffset = options.IfOffset,
                }),
            };
            if (publish.Frame.Length > _maxFrameBytes) throw TooLarge(channel);
            if (!_publishes.TryAdd(publish))
                throw new GridException(GridErrorCodes.QueueFull, "Too many publishes wait for an answer.") { Channel = channel };
            _link?.Outgoing.Set();
            // The receive loop may be waiting for the very consumer that publishes here: see AcceptAsync.
            _unblocked.Set();
            ScheduleAt(publish.Deadline);
        }

        await using var registration = cancellationToken.CanBeCanceled
            ? cancellationToken.UnsafeRegister(_ => Forget(publish, cancellationToken), null)
            : default;
        return await publish.Answer.Task;
    }

    private void Forget(PendingPublish publish, CancellationToken cancellationToken)
    {
        lock (Gate)
        {
            if (!_publishes.TryAbandon(publish.Id, Now, out _)) return;
            publish.Answer.TrySetCanceled(cancellationToken);
            AfterPublishes();
        }
    }

    /// <summary>Fails what the queue gave up, and sends what it made ready.</summary>
    private void AfterPublishes()
    {
        while (_publishes.TryTakeRejected(out var rejected))
            rejected.Answer.TrySetException(rejected.Refusal ?? Ended(rejected.Channel));
        if (_publishes.HasReady) _link?.Outgoing.Set();
        if (_publishes.NextRetryAt is { } retryAt) ScheduleAt(retryAt);
    }

    private void ExpirePublishes(TimeSpan now)
    {
        while (_publishes.TryExpire(now, out var late))
        {
            var text = late.WasSent
                ? $"No answer in {Options.PublishTimeout}: the message may have been stored."
                : $"Not sent within {Options.PublishTimeout}: there was no connection.";
            late.Answer.TrySetException(new GridException(GridErrorCodes.Timeout, text, late.Refusal)
            {
                Channel = late.Channel, OutcomeUnknown = late.WasSent,
            });
        }
    }

    private void FailPublishes(GridException end)
    {
        while (_publishes.TryRemoveFirst(Now, out var publish))
        {
            publish.Answer.TrySetException(
                new GridException(GridErrorCodes.Closed, $"The client was closed before the publish was answered: {end.Message}", end)
                {
                    Channel = publish.Channel, OutcomeUnknown = publish.WasSent, CloseCode = end.CloseCode,
                });
        }
    }

    private GridException Ended(string? channel) =>
        new(GridErrorCodes.Closed, _end is null ? "The client is closed." : $"The client is closed: {_end.Message}", _end)
        {
            Channel = channel, CloseCode = _end?.CloseCode,
        };

    private GridException TooLarge(string channel) =>
        new(ErrorCode.TooLarge.Name(), $"The frame is larger than the {_maxFrameBytes} bytes that the server reads.") { Channel = channel };
}

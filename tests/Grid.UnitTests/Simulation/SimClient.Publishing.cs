using System.Globalization;
using System.Text;
using Grid.Protocol;
using Grid.Server.Channels;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Simulation;

/// <summary>One publish: what was sent, and what became of it.</summary>
internal sealed class SimPublish
{
    public required string Channel { get; init; }

    public required int Number { get; init; }

    public required string Text { get; init; }

    public string? Key { get; init; }

    public long? IfOffset { get; init; }

    public bool MayRetry { get; init; }

    public int Attempts { get; set; }

    public long Request { get; set; }

    public int Connection { get; set; }

    public Position? Stored { get; set; }

    public bool Conflict { get; set; }

    /// <summary>Its last answer was "unavailable", and it has not been sent again.</summary>
    public bool Refused { get; set; }

    public bool Done { get; set; }

    /// <summary>Whether an answer is to come.</summary>
    public bool IsOpen => Attempts > 0 && !Refused && !Done;
}

/// <content>Publishing, in order through refusals.</content>
internal sealed partial class SimClient
{
    public void Publish(SimView view)
    {
        var number = Publishes.Count;
        var text = string.Create(CultureInfo.InvariantCulture, $"{Name}-{number}");
        var keyed = Scheduler.Happens(0.75);
        var key = !keyed ? null : view.IsIdempotent ? text : FormattableString.Invariant($"about{Scheduler.Chance.Next(3)}");
        var publish = new SimPublish
        {
            Channel = view.Channel,
            Number = number,
            Text = text,
            Key = key,
            MayRetry = key is not null && view.IsIdempotent,
            IfOffset = Scheduler.Happens(0.1) && view.Cursor is { } cursor ? cursor.Offset : null,
        };
        Publishes.Add(publish);
        if (Connected && !IsHeld(view.Channel)) Send(publish);
    }

    /// <summary>Whether something waits to be sent again, before which nothing later may go.</summary>
    private bool IsHeld(string channel) => Publishes.Any(p => p.Channel == channel && p is { Refused: true, Done: false });

    /// <summary>When all answers are in, what was refused goes out again, and what waits behind it.</summary>
    private void SendHeld(string channel)
    {
        if (!IsHeld(channel) || Publishes.Any(p => p.Channel == channel && p.IsOpen)) return;
        Again(
            () =>
            {
                if (!IsHeld(channel) || Publishes.Any(p => p.Channel == channel && p.IsOpen)) return;
                GiveUpBefore(channel, Publishes.LastOrDefault(p => p.Channel == channel && p.Stored is not null)?.Number ?? 0);
                SendAll(channel);
            },
            ChannelPublisher.RetryAfterMs * 1000);
    }

    private void GiveUpBefore(string channel, int number)
    {
        foreach (var publish in Publishes.Where(p => p.Channel == channel && p is { Refused: true, Done: false } && p.Number < number))
        {
            Trace($"gives {publish.Text} up");
            publish.Done = true;
        }
    }

    private void SendAll(string channel)
    {
        foreach (var publish in Publishes.Where(p => p.Channel == channel && !p.Done)) Send(publish);
    }

    private void Send(SimPublish publish)
    {
        publish.Attempts++;
        publish.Refused = false;
        (publish.Request, publish.Connection) = (++_request, _connection);
        Trace($"-> publish {publish.Text} to {publish.Channel} as {_request} key {publish.Key} if {publish.IfOffset}");
        _socket!.Send(new PublishFrame
        {
            Id = _request,
            Channel = publish.Channel,
            Payload = Payload.Json(Encoding.UTF8.GetBytes($"\"{publish.Text}\"")),
            Key = publish.Key,
            IfOffset = publish.IfOffset,
        });
    }

    private void Published(PublishedFrame frame)
    {
        if (Publishes.FirstOrDefault(p => p.Request == frame.Id) is not { } publish)
        {
            Scheduler.Fail($"{Name}: an answer to nothing: {frame}");
            return;
        }

        var position = new Position(frame.Epoch, frame.Offset);
        (publish.Stored, publish.Done) = (position, true);
        var stored = _views[publish.Channel].Record.Of(frame.Epoch).At(frame.Offset);
        if (stored is null || Encoding.UTF8.GetString(stored.Payload.Bytes.Span) != $"\"{publish.Text}\"")
            Scheduler.Fail($"{Name}: {publish.Text} was acknowledged at {position}, but is not stored there.");
        if (publish.IfOffset is { } wanted && frame.Offset != wanted + 1)
            Scheduler.Fail($"{Name}: {publish.Text} was to follow {wanted}, and is at {position}.");
        SendHeld(publish.Channel);
    }

    private void NotPublished(SimPublish publish, ErrorFrame error)
    {
        if (error.Code == ErrorCode.Unavailable && publish.MayRetry)
        {
            publish.Refused = true;
        }
        else
        {
            publish.Done = true;
            publish.Conflict = error.Code == ErrorCode.Conflict;
            if (!publish.Conflict && error.Code != ErrorCode.Unavailable) Scheduler.Fail($"{Name}: {publish.Text} was refused: {error}");
        }

        SendHeld(publish.Channel);
    }
}

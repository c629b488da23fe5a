using System.Globalization;
using System.Text.Json;
using Grid.Abstractions;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Network;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;

namespace Grid.Server.Webhooks;

/// <summary>What is stored, as it is shown.</summary>
internal static class WebhookViews
{
    /// <summary>An attempt.</summary>
    public static WebhookAttemptDescription Describe(StoredAttempt attempt) => new()
    {
        Id = attempt.Id,
        MessageId = attempt.MessageId,
        Channel = attempt.Ref.Channel,
        Offset = attempt.Ref.Offset,
        Attempt = attempt.Number,
        At = DateTimeOffset.FromUnixTimeMilliseconds(attempt.At),
        DurationMs = attempt.DurationMs,
        Status = attempt.Status == 0 ? null : attempt.Status,
        Succeeded = attempt.Succeeded,
        Error = attempt.Error == WebhookErrorClass.None ? null : JsonNamingPolicy.CamelCase.ConvertName(attempt.Error.ToString()),
        Detail = attempt.Detail,
        Response = attempt.Answer,
        ResponseClipped = attempt.AnswerClipped,
    };

    /// <summary>A dead letter.</summary>
    public static WebhookDeadLetter Describe(StoredDeadLetter letter) => new()
    {
        MessageId = letter.Ref.ToId(),
        Channel = letter.Ref.Channel,
        Epoch = letter.Ref.Epoch,
        Offset = letter.Ref.Offset,
        Attempts = letter.Attempts,
        At = DateTimeOffset.FromUnixTimeMilliseconds(letter.At),
        Failure = letter.Failure,
        Place = ToText(PlaceOf(letter)),
    };

    /// <summary>A truncation.</summary>
    public static WebhookTruncation Describe(StoredTruncation cut) => new(cut.Channel, cut.Epoch, cut.From, cut.To, cut.Count);

    /// <summary>A replay.</summary>
    public static WebhookReplay Describe(string id, ReplayProgress progress, string status) => new()
    {
        Id = id,
        Status = status,
        Delivered = progress.Delivered,
        Failed = progress.Failed,
        Remaining = progress.Remaining,
    };

    /// <summary>A replay that ended.</summary>
    public static WebhookReplay Describe(WebhookEffect.ReplayEnded ended) =>
        Describe(ended.Id, ended.Progress, ended.Cancelled ? "cancelled" : "done");

    /// <summary>Where a dead letter stands in the list.</summary>
    public static StoredPlace PlaceOf(StoredDeadLetter letter) => new(letter.At, letter.Ref.ToId());

    /// <summary>A place as text; no message's id has a full stop.</summary>
    public static string ToText(StoredPlace place) => string.Create(CultureInfo.InvariantCulture, $"{place.At}.{place.Name}");

    /// <summary>Reads what <see cref="ToText"/> writes; false, and default (from the newest), for anything else.</summary>
    public static bool TryParsePlace(string? text, out StoredPlace place)
    {
        place = default;
        var dot = text?.IndexOf('.', StringComparison.Ordinal) ?? -1;
        if (dot <= 0 || !long.TryParse(text.AsSpan(0, dot), NumberStyles.None, CultureInfo.InvariantCulture, out var at)
            || !WebhookMessageId.IsValid(text.AsSpan(dot + 1)))
        {
            return false;
        }

        place = new StoredPlace(at, text![(dot + 1)..]);
        return true;
    }
}

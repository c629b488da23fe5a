namespace Grid.Protocol.Json;

/// <summary>Every member name of the wire contract, of whatever frame or object in a frame.</summary>
internal enum Member
{
    /// <summary>A name that this version does not know: its value is skipped.</summary>
    Unknown = -1,
    Type,
    Id,
    Channel,
    Data,
    Data64,
    Key,
    Event,
    IfOffset,
    From,
    Token,
    Client,
    Resume,
    Session,
    Cursors,
    Epoch,
    Offset,
    Last,
    ResumeToken,
    State,
    ResumeWindowMs,
    HeartbeatMs,
    MaxFrameBytes,
    Subscriptions,
    Head,
    Cursor,
    ExpiresAt,
    Duplicate,
    At,
    To,
    Reason,
    Code,
    Message,
    RetryAfterMs,
    ReconnectInMs,
}

/// <summary>Finds a <see cref="Member"/> by its name on the wire.</summary>
internal static class MemberNames
{
    /// <summary>How many names there are.</summary>
    public const int Count = (int)Member.ReconnectInMs + 1;

    /// <summary>Finds a name in UTF-8, without escapes.</summary>
    public static Member Find(ReadOnlySpan<byte> name) => name.Length switch
    {
        2 => Is(name, "id"u8) ? Member.Id : Is(name, "at"u8) ? Member.At : Is(name, "to"u8) ? Member.To : Member.Unknown,
        3 => Is(name, "key"u8) ? Member.Key : Member.Unknown,
        4 => Is(name, "type"u8) ? Member.Type
            : Is(name, "data"u8) ? Member.Data
            : Is(name, "from"u8) ? Member.From
            : Is(name, "last"u8) ? Member.Last
            : Is(name, "head"u8) ? Member.Head
            : Is(name, "code"u8) ? Member.Code
            : Member.Unknown,
        5 => Is(name, "event"u8) ? Member.Event
            : Is(name, "epoch"u8) ? Member.Epoch
            : Is(name, "token"u8) ? Member.Token
            : Is(name, "state"u8) ? Member.State
            : Member.Unknown,
        6 => Is(name, "offset"u8) ? Member.Offset
            : Is(name, "data64"u8) ? Member.Data64
            : Is(name, "cursor"u8) ? Member.Cursor
            : Is(name, "client"u8) ? Member.Client
            : Is(name, "resume"u8) ? Member.Resume
            : Is(name, "reason"u8) ? Member.Reason
            : Member.Unknown,
        7 => Is(name, "channel"u8) ? Member.Channel
            : Is(name, "cursors"u8) ? Member.Cursors
            : Is(name, "session"u8) ? Member.Session
            : Is(name, "message"u8) ? Member.Message
            : Member.Unknown,
        8 => Is(name, "ifOffset"u8) ? Member.IfOffset : Member.Unknown,
        9 => Is(name, "duplicate"u8) ? Member.Duplicate : Is(name, "expiresAt"u8) ? Member.ExpiresAt : Member.Unknown,
        11 => Is(name, "resumeToken"u8) ? Member.ResumeToken : Is(name, "heartbeatMs"u8) ? Member.HeartbeatMs : Member.Unknown,
        12 => Is(name, "retryAfterMs"u8) ? Member.RetryAfterMs : Member.Unknown,
        13 => Is(name, "maxFrameBytes"u8) ? Member.MaxFrameBytes
            : Is(name, "subscriptions"u8) ? Member.Subscriptions
            : Is(name, "reconnectInMs"u8) ? Member.ReconnectInMs
            : Member.Unknown,
        14 => Is(name, "resumeWindowMs"u8) ? Member.ResumeWindowMs : Member.Unknown,
        _ => Member.Unknown,
    };

    private static bool Is(ReadOnlySpan<byte> name, ReadOnlySpan<byte> known) => name.SequenceEqual(known);
}

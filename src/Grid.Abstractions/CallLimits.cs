namespace Grid.Abstractions;

/// <summary>
/// How long a call between silos may take before its outcome counts as unknown. A silo that hangs must not hold callers for the
/// half minute that is usual in Orleans: they ask again, and by then the call goes elsewhere. Form: <c>hh:mm:ss</c>.
/// </summary>
public static class CallLimits
{
    /// <summary>Publishes, reads and attaches. Two tries and a pause fit the ten seconds in which a publish is answered.</summary>
    public const string Channel = "00:00:04";

    /// <summary>A session's calls. A hello tries again within its patience.</summary>
    public const string Session = "00:00:04";

    /// <summary>A batch for a silo's relay, which may have to read the log first. The feed of another silo does not wait for it.</summary>
    public const string Delivery = "00:00:10";

    /// <summary>Questions to a silo that somebody waits for: who is subscribed, which sessions, whether it wants a channel.</summary>
    public const string Question = "00:00:03";

    /// <summary>Waiting for the publishes that a silo has under way, each of which is answered within ten seconds.</summary>
    public const string Publishes = "00:00:12";

    /// <summary>A webhook's test: a handshake and a delivery, each of which may be given five minutes by the settings.</summary>
    public const string WebhookTest = "00:10:30";
}

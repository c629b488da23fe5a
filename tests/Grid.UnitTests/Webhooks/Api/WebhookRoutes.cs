namespace Grid.UnitTests.Webhooks.Api;

/// <summary>Every route of one subscription, with a body that is good.</summary>
internal static class WebhookRoutes
{
    public const string Id = "wh_1";

    public static (string Method, string Path, string? Body)[] OfOne { get; } =
    [
        ("GET", "", null),
        ("PATCH", "", """{"mode":"keyed"}"""),
        ("DELETE", "", null),
        ("POST", "/rotate-secret", "{}"),
        ("POST", "/test", null),
        ("POST", "/pause", null),
        ("POST", "/resume", null),
        ("POST", "/disable", null),
        ("POST", "/enable", null),
        ("POST", "/seek", """{"named":"now"}"""),
        ("POST", "/messages/msg_1/resend", null),
        ("POST", "/messages/msg_1/skip", null),
        ("GET", "/attempts", null),
        ("GET", "/dead-letters", null),
        ("GET", "/dead-letters/export", null),
        ("POST", "/dead-letters/redrive", null),
        ("POST", "/replay", """{"since":"2026-01-01T12:00:00Z"}"""),
        ("GET", "/replays/rp_1", null),
        ("DELETE", "/replays/rp_1", null),
        ("POST", "/poll", null),
        ("POST", "/ack", """{"acked":["ls_1"]}"""),
    ];

    public static TheoryData<string, string, string?> All
    {
        get
        {
            var data = new TheoryData<string, string, string?>();
            foreach (var (method, path, body) in OfOne) data.Add(method, path, body);
            return data;
        }
    }
}

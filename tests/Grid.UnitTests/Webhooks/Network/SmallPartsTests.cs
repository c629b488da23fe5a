using System.Text;
using FsCheck.Xunit;
using Grid.Server.Webhooks.Network;

namespace Grid.UnitTests.Webhooks.Network;

public sealed class SmallPartsTests
{
    private static readonly DateTimeOffset Now = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);

    [Theory]
    [InlineData(null, null)]
    [InlineData("", null)]
    [InlineData("soon", null)]
    [InlineData("-5", null)]
    [InlineData("1.5", null)]
    [InlineData("0", 0.0)]
    [InlineData(" 120 ", 120.0)]
    [InlineData("86400", 86400.0)]
    [InlineData("86401", 86400.0)]
    [InlineData("99999999999999999999", 86400.0)]
    [InlineData("Sun, 01 Mar 2026 12:01:30 GMT", 90.0)]
    [InlineData("Sunday, 01-Mar-26 12:01:30 GMT", 90.0)]
    [InlineData("Sun Mar  1 12:01:30 2026", 90.0)]
    [InlineData("Sun, 01 Mar 2026 11:59:59 GMT", 0.0)]
    [InlineData("Sun, 06 Nov 1994 08:49:37 GMT", 0.0)]
    [InlineData("Fri, 01 Mar 2999 12:00:00 GMT", 86400.0)]
    [InlineData("Sun, 31 Feb 2026 12:00:00 GMT", null)]
    public void Retry_after_is_seconds_or_a_date(string? value, double? seconds) =>
        Assert.Equal(seconds, RetryAfter.Parse(value, Now)?.TotalSeconds);

    [Theory]
    [InlineData("fine, ünïcödé 🎉\r\n\tok", "fine, ünïcödé 🎉\r\n\tok")]
    [InlineData("a\0b\u001b[31mc\u007fd\u0085e", "a\ufffdb\ufffd[31mc\ufffdd\ufffde")]
    [InlineData("a\u202eb\u2066c\u200fd\u2028e", "a\ufffdb\ufffdc\ufffdd\ufffde")]
    public void An_answer_is_made_safe(string text, string safe)
    {
        Assert.Equal(safe, AnswerText.Make(Encoding.UTF8.GetBytes(text), 1000, out var clipped));
        Assert.False(clipped);
    }

    [Fact]
    public void What_is_no_text_is_replaced_and_stays_in_bounds()
    {
        byte[] bytes = [0xFF, (byte)'a', 0xC3, 0x28, 0xED, 0xA0, 0x80];
        Assert.StartsWith("\ufffda\ufffd(\ufffd", AnswerText.Make(bytes, 1000, out _), StringComparison.Ordinal);
        Assert.Equal(10, AnswerText.Make(new byte[1000], 30, out var clipped).Length);
        Assert.True(clipped);
        Assert.Equal("aé", AnswerText.Make("aéé"u8, 4, out clipped));
        Assert.True(clipped);
    }

    [Property(MaxTest = 300)]
    public bool Any_answer_gives_text_within_its_bound(byte[] bytes, byte most)
    {
        var text = AnswerText.Make(bytes, most, out var clipped);
        var size = new UTF8Encoding(false, throwOnInvalidBytes: true).GetByteCount(text);
        return size <= most && !text.Any(static c => char.IsControl(c) && c is not ('\t' or '\r' or '\n')) && (clipped || bytes.Length == 0 || text.Length > 0);
    }

    [Fact]
    public void Good_headers_pass_and_are_redacted()
    {
        Dictionary<string, string> headers = new() { ["Authorization"] = "Bearer abc", ["X-Team"] = "a b", ["Cookie"] = "a=b", ["X-Empty"] = "" };
        Assert.Empty(CustomHeaders.Check(headers));
        var shown = CustomHeaders.Redact(headers);
        Assert.Equal(headers.Keys.Order(), shown.Keys.Order());
        Assert.All(shown.Values, static v => Assert.Equal(CustomHeaders.Redacted, v));
    }

    [Theory]
    [InlineData("Host")]
    [InlineData("content-length")]
    [InlineData("Content-Type")]
    [InlineData("Content-Encoding")]
    [InlineData("Transfer-Encoding")]
    [InlineData("Connection")]
    [InlineData("Keep-Alive")]
    [InlineData("TE")]
    [InlineData("Trailer")]
    [InlineData("Upgrade")]
    [InlineData("Expect")]
    [InlineData("Proxy-Authorization")]
    [InlineData("Webhook-Signature")]
    [InlineData("webhook-anything")]
    [InlineData("Grid-Channel")]
    [InlineData("ce-id")]
    [InlineData("X-Forwarded-For")]
    [InlineData("Metadata-Flavor")]
    [InlineData("X-aws-ec2-metadata-token")]
    [InlineData("Accept-Encoding")]
    public void A_header_that_is_not_the_tenants_is_refused(string name) =>
        Assert.Contains("cannot be set", Assert.Single(CustomHeaders.Check([new(name, "x")])), StringComparison.Ordinal);

    [Theory]
    [InlineData("", "x")]
    [InlineData("a b", "x")]
    [InlineData("a:", "x")]
    [InlineData("a\r\nb", "x")]
    [InlineData("ä", "x")]
    [InlineData("X-A", "a\r\nX-B: c")]
    [InlineData("X-A", "a\nb")]
    [InlineData("X-A", "a\0")]
    [InlineData("X-A", "a\tb")]
    [InlineData("X-A", " a")]
    [InlineData("X-A", "a ")]
    [InlineData("X-A", "ä")]
    [InlineData("X-A", null)]
    [InlineData("X-A", CustomHeaders.Redacted)]
    public void A_malformed_header_is_refused_and_its_value_not_repeated(string name, string? value)
    {
        var error = Assert.Single(CustomHeaders.Check([new(name, value!)]));
        if (value is { Length: > 2 } && value != CustomHeaders.Redacted) Assert.DoesNotContain(value, error, StringComparison.Ordinal);
    }

    [Fact]
    public void Too_many_and_too_long_headers_are_refused()
    {
        Assert.Single(CustomHeaders.Check([.. Enumerable.Range(0, 21).Select(static i => KeyValuePair.Create($"X-{i}", "v"))]));
        Assert.Single(CustomHeaders.Check([.. Enumerable.Range(0, 5).Select(static i => KeyValuePair.Create($"X-{i}", new string('v', 2000)))]));
        Assert.Single(CustomHeaders.Check([new("X-A", new string('v', 2049))]));
        Assert.Single(CustomHeaders.Check([new(new string('n', 101), "v")]));
        Assert.Single(CustomHeaders.Check([new("X-A", "1"), new("x-a", "2")]));
    }

    [Fact]
    public void A_redacted_value_that_comes_back_stays_what_it_was()
    {
        var merged = CustomHeaders.Merge(
            new Dictionary<string, string> { ["Authorization"] = "Bearer abc", ["X-Old"] = "1" },
            [new("authorization", CustomHeaders.Redacted), new("X-New", "2"), new("X-Unknown", CustomHeaders.Redacted)]);
        Assert.Equal("Bearer abc", merged["Authorization"]);
        Assert.Equal("2", merged["X-New"]);
        Assert.DoesNotContain("X-Old", merged.Keys);
        Assert.Contains("X-Unknown", Assert.Single(CustomHeaders.Check([.. merged])), StringComparison.Ordinal);
    }
}

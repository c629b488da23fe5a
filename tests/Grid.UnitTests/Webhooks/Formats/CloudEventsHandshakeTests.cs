using Grid.Server.Webhooks.Formats;

namespace Grid.UnitTests.Webhooks.Formats;

public sealed class CloudEventsHandshakeTests
{
    private const string Origin = "grid.example.com";

    [Fact]
    public void The_request_says_who_asks_and_for_what()
    {
        Assert.Equal([new("WebHook-Request-Origin", Origin)], CloudEventsHandshake.Request(Origin));
        Assert.Equal(
            [
                new("WebHook-Request-Origin", Origin),
                new("WebHook-Request-Callback", "https://grid.example.com/confirm?id=1&key=a"),
                new("WebHook-Request-Rate", "120"),
            ],
            CloudEventsHandshake.Request(Origin, 120, new Uri("https://grid.example.com/confirm?id=1&key=a")));
    }

    [Theory]
    [InlineData("")]
    [InlineData("*")]
    [InlineData("10.0.0.1")]
    [InlineData("[::1]")]
    [InlineData("größe.example")]
    [InlineData("a b.example")]
    [InlineData("grid.example.com\r\nX: y")]
    [InlineData("https://grid.example.com")]
    public void An_origin_is_a_name(string origin) => Assert.Throws<ArgumentException>(() => CloudEventsHandshake.Request(origin));

    [Fact]
    public void A_rate_is_positive_and_a_callback_is_encrypted()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => CloudEventsHandshake.Request(Origin, 0));
        Assert.Throws<ArgumentException>(() => CloudEventsHandshake.Request(Origin, null, new Uri("http://grid.example.com/")));
    }

    [Theory]
    [InlineData(Origin, "100", true, 100)]
    [InlineData("Grid.Example.COM", "100", true, 100)]
    [InlineData("*", "*", true, null)]
    [InlineData(" * ", " 5 ", true, 5)]
    [InlineData(Origin, null, false, null)]
    [InlineData(Origin, "99999999999999999999", true, int.MaxValue)]
    public void A_target_consents_by_naming_the_origin_or_all(string origin, string? rate, bool rateAsked, int? perMinute)
    {
        var answer = CloudEventsHandshake.Judge(Origin, rateAsked, [origin], rate is null ? [] : [rate]);
        Assert.True(answer.Allowed);
        Assert.Equal(perMinute, answer.PerMinute);
    }

    [Theory]
    [InlineData(null, "100", false, HandshakeRefusal.NoOrigin)]
    [InlineData("", "100", false, HandshakeRefusal.OtherOrigin)]
    [InlineData("other.example.com", "100", false, HandshakeRefusal.OtherOrigin)]
    [InlineData("grid.example.com, other.example.com", "100", false, HandshakeRefusal.OtherOrigin)]
    [InlineData("*.example.com", "100", false, HandshakeRefusal.OtherOrigin)]
    [InlineData(Origin, null, true, HandshakeRefusal.NoRate)]
    [InlineData(Origin, "", true, HandshakeRefusal.BadRate)]
    [InlineData(Origin, "0", false, HandshakeRefusal.BadRate)]
    [InlineData(Origin, "000000000000", false, HandshakeRefusal.BadRate)]
    [InlineData(Origin, "-1", false, HandshakeRefusal.BadRate)]
    [InlineData(Origin, "1.5", false, HandshakeRefusal.BadRate)]
    [InlineData(Origin, "many", false, HandshakeRefusal.BadRate)]
    internal void Anything_else_is_no_consent(string? origin, string? rate, bool rateAsked, HandshakeRefusal refusal)
    {
        var answer = CloudEventsHandshake.Judge(Origin, rateAsked, origin is null ? [] : [origin], rate is null ? [] : [rate]);
        Assert.False(answer.Allowed);
        Assert.Equal(refusal, answer.Refusal);
        Assert.Null(answer.PerMinute);
    }

    [Theory]
    [InlineData("other.example.com|grid.example.com", "", null)]
    [InlineData("grid.example.com|grid.example.com", "", null)]
    [InlineData("|*", "", null)]
    [InlineData("*", "100|50", 50)]
    [InlineData("*", "*|50", 50)]
    [InlineData("*", "many|0|50", 50)]
    [InlineData("*", "many|*", null)]
    public void Of_headers_given_twice_one_that_consents_is_enough(string origins, string rates, int? perMinute)
    {
        var answer = CloudEventsHandshake.Judge(Origin, false, origins.Split('|'), rates.Length == 0 ? [] : rates.Split('|'));
        Assert.True(answer.Allowed);
        Assert.Equal(perMinute, answer.PerMinute);
    }

    [Fact]
    public void Headers_given_twice_without_consent_are_none()
    {
        Assert.Equal(HandshakeRefusal.OtherOrigin, CloudEventsHandshake.Judge(Origin, false, ["a.example.com", "b.example.com"], []).Refusal);
        Assert.Equal(HandshakeRefusal.BadRate, CloudEventsHandshake.Judge(Origin, false, [Origin], ["0", "many"]).Refusal);
    }
}

using Grid.Abstractions;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Delivery;
using Grid.Server.Webhooks.Signing;
using Grid.Server.Webhooks.Store;
using Microsoft.AspNetCore.DataProtection;

namespace Grid.UnitTests.Webhooks.Grain;

public sealed class WebhookDocumentTests
{
    private readonly WebhookSecrets _secrets = new(new SecretVault(new EphemeralDataProtectionProvider()), new WebhookId("t", "wh_1"));

    [Fact]
    public void A_definition_comes_back_as_it_was_but_for_what_is_secret()
    {
        var definition = new WebhookDefinition
        {
            Url = "https://example.com/in", Channels = ["a", "b:*"], Events = ["x.*"], Mode = "keyed", KeySeparator = "/", OnExhausted = "pause",
            Description = "d", Headers = new() { ["X-A"] = "secret" }, PerSecond = 5, Schedule = [0, 1], Format = "cloudevents", Asymmetric = true, Handshake = true,
        };
        var document = new WebhookDocument { Definition = definition, CreatedAt = DateTimeOffset.UnixEpoch }.With(definition, _secrets);
        var read = WebhookDocument.Read(document.ToBytes());
        var headers = _secrets.UnprotectHeaders(read.Headers);
        Assert.Equal("secret", headers["X-A"]);
        var shown = read.Shown(definition.Channels, headers);
        Assert.Equal(
            System.Text.Json.JsonSerializer.Serialize(definition with { Headers = new() { ["X-A"] = "********" } }),
            System.Text.Json.JsonSerializer.Serialize(shown));
        var settings = read.Settings();
        Assert.Equal((WebhookMode.Keyed, '/', ExhaustionRule.Pause, 5.0, 2), (settings.Mode, settings.KeySeparator, settings.OnExhausted, settings.PerSecond, settings.Schedule.Attempts));
    }

    [Fact]
    public void A_consent_limits_the_rate_of_its_url_only()
    {
        var definition = new WebhookDefinition { Url = "https://a.example/", Channels = ["a"], PerSecond = 5 };
        var document = new WebhookDocument { Definition = definition, CreatedAt = default, ConsentedUrl = definition.Url, ConsentedPerMinute = 60 };
        Assert.Equal(1.0, document.Settings().PerSecond);
        Assert.Equal(5.0, (document with { Definition = definition with { Url = "https://b.example/" } }).Settings().PerSecond);
    }

    [Fact]
    public void Settings_are_checked()
    {
        var validator = new WebhookOptionsValidator();
        Assert.True(validator.Validate(null, new WebhookOptions()).Succeeded);
        var wrong = new WebhookOptions { FastSlots = 0, SweepInterval = TimeSpan.Zero, PublicUrl = new Uri("ftp://x") };
        Assert.Equal(3, validator.Validate(null, wrong).Failures!.Count());
    }
}

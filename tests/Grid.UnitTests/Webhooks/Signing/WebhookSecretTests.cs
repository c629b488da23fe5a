using System.Text;
using System.Text.Json;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Grid.Server.Webhooks.Signing;

namespace Grid.UnitTests.Webhooks.Signing;

public sealed class WebhookSecretTests
{
    private const string Seed = "VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=";

    [Fact]
    public void A_generated_secret_has_32_bytes_and_its_own_text_reads_as_it()
    {
        var secret = WebhookSecret.Generate();
        Assert.StartsWith("whsec_", secret.Reveal(), StringComparison.Ordinal);
        Assert.Equal(32, Convert.FromBase64String(secret.Reveal()["whsec_".Length..]).Length);
        Assert.Null(secret.PublicKey());
        Assert.True(WebhookSecret.TryParse(secret.Reveal(), out var read, out _));
        Assert.True(read.IsSameAs(secret));
        Assert.False(read.IsSameAs(WebhookSecret.Generate()));
    }

    [Fact]
    public void A_generated_key_pair_has_a_private_and_a_public_text()
    {
        var secret = WebhookSecret.Generate(WebhookSecretKind.Ed25519);
        Assert.StartsWith("whsk_", secret.Reveal(), StringComparison.Ordinal);
        Assert.StartsWith("whpk_", secret.PublicKey(), StringComparison.Ordinal);
        Assert.True(WebhookSecret.TryParse(secret.Reveal(), out var read, out _));
        Assert.Equal(secret.PublicKey(), read.PublicKey());
        Assert.NotEqual(secret.PublicKey(), WebhookSecret.Generate(WebhookSecretKind.Ed25519).PublicKey());
    }

    [Fact]
    public void A_private_key_may_be_followed_by_its_public_key_and_by_no_other()
    {
        Assert.True(WebhookSecret.TryParse("whsk_" + Seed, out var alone, out _));
        var seed = Convert.FromBase64String(Seed);
        var publicKey = Convert.FromBase64String(alone.PublicKey()!["whpk_".Length..]);
        Assert.True(WebhookSecret.TryParse("whsk_" + Convert.ToBase64String([.. seed, .. publicKey]), out var both, out _));
        Assert.True(both.IsSameAs(alone));
        publicKey[0] ^= 1;
        Assert.False(WebhookSecret.TryParse("whsk_" + Convert.ToBase64String([.. seed, .. publicKey]), out _, out var problem));
        Assert.Contains("public key", problem, StringComparison.Ordinal);
    }

    [Property]
    public bool Secrets_of_24_to_64_bytes_are_read_and_no_others(byte length)
    {
        var text = "whsec_" + Convert.ToBase64String(new byte[length]);
        return WebhookSecret.TryParse(text, out var secret, out var problem)
            ? length is >= 24 and <= 64 && secret.Reveal() == text && problem is null
            : length is < 24 or > 64 && problem is not null && !problem.Contains("AAAA", StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("whsec_")]
    [InlineData("whsk_")]
    [InlineData("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [InlineData("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [InlineData("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ")]
    [InlineData("whsec_MfKQ9r8GKYqr\nTwjUPD8ILPZIo2LaLaSw")]
    [InlineData("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_")]
    [InlineData("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMQ")]
    [InlineData("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [InlineData("whpk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")]
    public void What_is_no_secret_is_refused_without_being_quoted(string text)
    {
        Assert.False(WebhookSecret.TryParse(text, out var secret, out var problem));
        Assert.Null(secret);
        Assert.NotEmpty(problem);
        Assert.DoesNotContain("MfKQ", problem, StringComparison.Ordinal);
        Assert.DoesNotContain("VEVT", problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(WebhookSecretKind.HmacSha256)]
    [InlineData(WebhookSecretKind.Ed25519)]
    internal void A_secret_shows_itself_neither_as_text_nor_to_a_serializer(WebhookSecretKind kind)
    {
        var secret = WebhookSecret.Generate(kind);
        var key = secret.Reveal()[(secret.Reveal().IndexOf('_', StringComparison.Ordinal) + 1)..];
        var set = SecretSet.Create(secret).Rotate(TimeSpan.FromHours(1), DateTimeOffset.UnixEpoch, WebhookSecret.Generate());
        string[] shown =
        [
            secret.ToString(), $"{set}", set.Earlier[0].ToString(), JsonSerializer.Serialize(secret), JsonSerializer.Serialize(set),
        ];
        Assert.All(shown, text => Assert.DoesNotContain(key, text, StringComparison.Ordinal));
        Assert.Matches("^wh(sec|sk)_[*]{3}$", secret.ToString());
    }

    [Property(MaxTest = 50)]
    public void Signing_in_two_parts_is_signing_the_whole(NonNull<byte[]> body, bool asymmetric)
    {
        var secret = WebhookSecret.Generate(asymmetric ? WebhookSecretKind.Ed25519 : WebhookSecretKind.HmacSha256);
        var prefix = Encoding.ASCII.GetBytes("msg_1.17.");
        var signature = secret.Sign(prefix, body.Get);
        Assert.Equal(signature, secret.Sign([], [.. prefix, .. body.Get]));
        Assert.Equal(signature, secret.Sign([.. prefix, .. body.Get], []));
        Assert.StartsWith(asymmetric ? "v1a," : "v1,", signature, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_secret_can_sign_on_many_threads()
    {
        var secret = WebhookSecret.Generate(WebhookSecretKind.Ed25519);
        var expected = secret.Sign("p"u8, "body"u8);
        var signatures = await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => Task.Run(() => secret.Sign("p"u8, "body"u8))));
        Assert.All(signatures, signature => Assert.Equal(expected, signature));
    }
}

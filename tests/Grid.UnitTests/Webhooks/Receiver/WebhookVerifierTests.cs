using System.Globalization;
using System.Text;
using FsCheck;
using FsCheck.Xunit;
using Grid.Client.Webhooks;
using Grid.Server.Webhooks.Signing;
using Microsoft.Extensions.Time.Testing;
using NSec.Cryptography;

namespace Grid.UnitTests.Webhooks.Receiver;

public sealed class WebhookVerifierTests
{
    private const string Id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    private static readonly DateTimeOffset Now = DateTimeOffset.FromUnixTimeSeconds(1614265330);
    private static readonly byte[] Body = Encoding.UTF8.GetBytes("""{"test": 2432232314}""");
    private static readonly WebhookSecret Secret = WebhookSecret.Generate();
    private static readonly WebhookSecret Pair = WebhookSecret.Generate(WebhookSecretKind.Ed25519);

    private static WebhookVerifier Verifier(DateTimeOffset now, params IEnumerable<string> secrets) => new(secrets, new WebhookVerifierOptions
    {
        TimeProvider = new FakeTimeProvider(now),
        Ed25519 = (key, text, signature) => SignatureAlgorithm.Ed25519.Verify(
            PublicKey.Import(SignatureAlgorithm.Ed25519, key, KeyBlobFormat.RawPublicKey), text, signature),
    });

    private static SignedHeaders Sign(params WebhookSecret[] secrets) => StandardWebhooksSigner.Sign(Id, Body, SecretSet.Create(secrets), Now);

    private static void Refuses(WebhookVerificationError reason, Action verify) =>
        Assert.Equal(reason, Assert.Throws<WebhookVerificationException>(verify).Reason);

    [Fact]
    public void The_vector_of_hmac_is_accepted() => Assert.Equal(
        new VerifiedWebhook(Id, Now),
        Verifier(Now, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").Verify(
            Body, Id, "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));

    [Property(MaxTest = 50)]
    public void What_was_signed_is_accepted_by_either_key(NonNull<byte[]> body)
    {
        var signed = StandardWebhooksSigner.Sign(Id, body.Get, SecretSet.Create(Secret, Pair), Now);
        foreach (var secret in new[] { Secret.Reveal(), Pair.PublicKey()! })
            Verifier(Now, secret).Verify(body.Get, signed.Id, signed.Timestamp, signed.Signature);
    }

    [Fact]
    public void Headers_are_looked_up_by_name()
    {
        var signed = Sign(Secret);
        var headers = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase)
        {
            ["Webhook-Id"] = signed.Id, ["Webhook-Timestamp"] = signed.Timestamp, ["Webhook-Signature"] = signed.Signature,
        };
        Assert.Equal(Id, Verifier(Now, Secret.Reveal()).Verify(Body, headers.GetValueOrDefault).Id);
        headers.Remove("webhook-signature");
        Refuses(WebhookVerificationError.MissingHeader, () => Verifier(Now, Secret.Reveal()).Verify(Body, headers.GetValueOrDefault));
    }

    /// <summary>One bit of anything that is signed, or of the signature.</summary>
    [Property(MaxTest = 300)]
    public void Any_tampering_is_refused(bool asymmetric, byte where, PositiveInt at, byte bit)
    {
        var signed = asymmetric ? Sign(Pair) : Sign(Secret);
        var verifier = Verifier(Now, asymmetric ? Pair.PublicKey()! : Secret.Reveal());
        var (body, id, timestamp, signature) = ((byte[])Body.Clone(), signed.Id, signed.Timestamp, signed.Signature);
        switch (where % 6)
        {
            case 0:
                body[at.Get % body.Length] ^= (byte)(1 << (bit % 8));
                break;
            case 1:
                body = [.. body, (byte)at.Get];
                break;
            case 2:
                body = body[..(at.Get % body.Length)];
                break;
            case 3:
                id = Flip(id);
                break;
            case 4:
                timestamp = Now.AddSeconds(at.Get % 2 == 0 ? 1 + (at.Get % 290) : -1 - (at.Get % 290)).ToUnixTimeSeconds()
                    .ToString(CultureInfo.InvariantCulture);
                break;
            default:
                // Decoded, changed and encoded anew: a change of the last character's spare bits is none of the signature.
                var comma = signature.IndexOf(',', StringComparison.Ordinal) + 1;
                var bytes = Convert.FromBase64String(signature[comma..]);
                bytes[at.Get % bytes.Length] ^= (byte)(1 << (bit % 8));
                signature = signature[..comma] + Convert.ToBase64String(bytes);
                break;
        }

        var error = Assert.Throws<WebhookVerificationException>(() => verifier.Verify(body, id, timestamp, signature));
        Assert.Equal(WebhookVerificationError.NoMatchingSignature, error.Reason);

        string Flip(string text)
        {
            var chars = text.ToCharArray();
            chars[at.Get % chars.Length] ^= (char)(1 << (bit % 7));
            return new string(chars);
        }
    }

    [Fact]
    public void Moving_bytes_between_id_timestamp_and_body_is_refused()
    {
        var signed = StandardWebhooksSigner.Sign("a", "1614265330.x"u8, SecretSet.Create(Secret), Now);
        // The same text, cut elsewhere: "a.1614265330.1614265330.x".
        Refuses(WebhookVerificationError.NoMatchingSignature, () =>
            Verifier(Now, Secret.Reveal()).Verify("x"u8, "a.1614265330", "1614265330", signed.Signature));
    }

    [Theory]
    [InlineData(-300, null)]
    [InlineData(300, null)]
    [InlineData(301, WebhookVerificationError.TooOld)]
    [InlineData(-301, WebhookVerificationError.TooNew)]
    [InlineData(1_000_000_000, WebhookVerificationError.TooOld)]
    public void The_time_of_signing_is_within_the_tolerance(int clockAhead, WebhookVerificationError? expected)
    {
        var signed = Sign(Secret);
        var verifier = Verifier(Now.AddSeconds(clockAhead), Secret.Reveal());
        void Verify() => verifier.Verify(Body, signed.Id, signed.Timestamp, signed.Signature);
        if (expected is { } reason) Refuses(reason, Verify);
        else Verify();
    }

    [Fact]
    public void The_tolerance_can_be_set()
    {
        var signed = Sign(Secret);
        var options = new WebhookVerifierOptions { Tolerance = TimeSpan.FromSeconds(10), TimeProvider = new FakeTimeProvider(Now.AddSeconds(11)) };
        Refuses(WebhookVerificationError.TooOld, () =>
            new WebhookVerifier([Secret.Reveal()], options).Verify(Body, signed.Id, signed.Timestamp, signed.Signature));
    }

    [Theory]
    [InlineData("")]
    [InlineData(null)]
    public void A_missing_header_is_named(string? missing)
    {
        var signed = Sign(Secret);
        var verifier = Verifier(Now, Secret.Reveal());
        Refuses(WebhookVerificationError.MissingHeader, () => verifier.Verify(Body, missing, signed.Timestamp, signed.Signature));
        Refuses(WebhookVerificationError.MissingHeader, () => verifier.Verify(Body, signed.Id, missing, signed.Signature));
        Refuses(WebhookVerificationError.MissingHeader, () => verifier.Verify(Body, signed.Id, signed.Timestamp, missing));
    }

    [Theory]
    [InlineData("hello")]
    [InlineData("-1")]
    [InlineData("+1614265330")]
    [InlineData(" 1614265330")]
    [InlineData("1614265330.0")]
    [InlineData("1e9")]
    [InlineData("99999999999999999999")]
    [InlineData("9999999999999")]
    public void A_timestamp_is_whole_seconds(string timestamp) => Refuses(
        WebhookVerificationError.MalformedTimestamp, () => Verifier(Now, Secret.Reveal()).Verify(Body, Id, timestamp, "v1,x"));

    [Theory]
    [InlineData("v1")]
    [InlineData("v1,")]
    [InlineData("v1a,")]
    [InlineData(" ")]
    [InlineData("v1,dawfeoifkpqwoekfpqoekf")]
    [InlineData("v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=")]
    [InlineData("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v1a,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=")]
    public void What_is_no_signature_is_refused(string signature) => Refuses(
        WebhookVerificationError.NoMatchingSignature,
        () => Verifier(Now, Secret.Reveal(), Pair.PublicKey()!).Verify(Body, Id, "1614265330", signature));

    [Fact]
    public void One_right_signature_among_others_is_enough_whatever_its_place()
    {
        const string Other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
        var right = Sign(Secret).Signature;
        var verifier = Verifier(Now, WebhookSecret.Generate().Reveal(), Secret.Reveal());
        foreach (var signature in new[] { $"{Other} v2,x {right}", $"{right} {Other}", $"  {Other}  {right} " })
            verifier.Verify(Body, Id, "1614265330", signature);
    }

    [Fact]
    public void A_signature_of_one_kind_is_not_taken_for_the_other()
    {
        var signed = Sign(Secret);
        Refuses(WebhookVerificationError.NoMatchingSignature, () =>
            Verifier(Now, Secret.Reveal()).Verify(Body, Id, signed.Timestamp, signed.Signature.Replace("v1,", "v1a,", StringComparison.Ordinal)));
    }

    [Fact]
    public void Endless_signatures_are_not_looked_at()
    {
        var signed = Sign(Secret);
        var many = string.Concat(Enumerable.Repeat("v1,AAAA ", 100));
        Refuses(WebhookVerificationError.NoMatchingSignature, () =>
            Verifier(Now, Secret.Reveal()).Verify(Body, Id, signed.Timestamp, many + signed.Signature));
    }

    [Fact]
    public void A_receiver_follows_a_rotation_at_any_time_of_the_overlap()
    {
        var (old, next) = (WebhookSecret.Generate(), WebhookSecret.Generate());
        var set = SecretSet.Create(old).Rotate(TimeSpan.FromHours(1), Now, next);
        foreach (var (minutes, oldIsValid) in new[] { (0, true), (59, true), (60, false) })
        {
            var at = Now.AddMinutes(minutes);
            var signed = StandardWebhooksSigner.Sign(Id, Body, set, at);
            Verifier(at, next.Reveal()).Verify(Body, signed.Id, signed.Timestamp, signed.Signature);
            Verifier(at, old.Reveal(), next.Reveal()).Verify(Body, signed.Id, signed.Timestamp, signed.Signature);
            void WithTheOld() => Verifier(at, old.Reveal()).Verify(Body, signed.Id, signed.Timestamp, signed.Signature);
            if (oldIsValid) WithTheOld();
            else Refuses(WebhookVerificationError.NoMatchingSignature, WithTheOld);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    [InlineData("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa")]
    [InlineData("whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")]
    [InlineData("whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    public void What_is_no_secret_is_refused_without_being_quoted(string secret)
    {
        var error = Assert.Throws<ArgumentException>(() => Verifier(Now, secret));
        if (secret.Length > 0) Assert.DoesNotContain(secret[6..], error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Secrets_are_needed_and_public_keys_need_a_way_to_check()
    {
        Assert.Throws<ArgumentException>(() => new WebhookVerifier());
        Assert.Throws<ArgumentException>(() => new WebhookVerifier(Pair.PublicKey()!));
    }
}

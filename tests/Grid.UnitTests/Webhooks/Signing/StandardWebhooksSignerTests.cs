using System.Text;
using Grid.Server.Webhooks.Signing;

namespace Grid.UnitTests.Webhooks.Signing;

/// <summary>The vectors are those of the specification's own libraries.</summary>
public sealed class StandardWebhooksSignerTests
{
    private const string Id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    private const string Hmac = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    private const string Ed25519 = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==";
    private static readonly byte[] Body = Encoding.UTF8.GetBytes("""{"test": 2432232314}""");
    private static readonly DateTimeOffset Now = DateTimeOffset.FromUnixTimeSeconds(1614265330);
    private static readonly WebhookSecret Secret = Parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    private static readonly WebhookSecret Pair = Parse("whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=");

    [Fact]
    public void The_vector_of_hmac() =>
        Assert.Equal(new SignedHeaders(Id, "1614265330", Hmac), StandardWebhooksSigner.Sign(Id, Body, SecretSet.Create(Secret), Now));

    [Fact]
    public void The_vector_of_ed25519() =>
        Assert.Equal(new SignedHeaders(Id, "1614265330", Ed25519), StandardWebhooksSigner.Sign(Id, Body, SecretSet.Create(Pair), Now));

    [Fact]
    public void Both_kinds_sign_when_both_are_current() =>
        Assert.Equal($"{Hmac} {Ed25519}", StandardWebhooksSigner.Sign(Id, Body, SecretSet.Create(Secret, Pair), Now).Signature);

    [Fact]
    public void While_an_overlap_lasts_there_is_an_entry_for_each_secret()
    {
        var next = WebhookSecret.Generate();
        var set = SecretSet.Create(Secret).Rotate(TimeSpan.FromMinutes(1), Now.AddSeconds(-30), next);
        var alone = StandardWebhooksSigner.Sign(Id, Body, SecretSet.Create(next), Now).Signature;
        Assert.Equal($"{alone} {Hmac}", StandardWebhooksSigner.Sign(Id, Body, set, Now).Signature);
        var after = StandardWebhooksSigner.Sign(Id, Body, set, Now.AddMinutes(1)).Signature;
        Assert.DoesNotContain(' ', after);
    }

    [Fact]
    public void The_timestamp_is_cut_to_whole_seconds() =>
        Assert.Equal(Hmac, StandardWebhooksSigner.Sign(Id, Body, SecretSet.Create(Secret), Now.AddMilliseconds(999)).Signature);

    [Theory]
    [InlineData("")]
    [InlineData("msg_1.2")]
    [InlineData("msg 1")]
    public void An_id_that_may_not_be_sent_is_refused(string id) =>
        Assert.Throws<ArgumentException>(() => StandardWebhooksSigner.Sign(id, Body, SecretSet.Create(Secret), Now));

    private static WebhookSecret Parse(string text) =>
        WebhookSecret.TryParse(text, out var secret, out var problem) ? secret : throw new ArgumentException(problem);
}

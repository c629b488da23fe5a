using System.Security.Cryptography;
using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Grid.Server.Webhooks.Signing;
using Microsoft.AspNetCore.DataProtection;

namespace Grid.UnitTests.Webhooks.Signing;

public sealed class SecretSetTests
{
    private static readonly DateTimeOffset Start = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly WebhookSecret[] Some = [.. Enumerable.Range(0, 16).Select(_ => WebhookSecret.Generate())];

    [Fact]
    public void A_new_set_signs_with_its_secret_alone() =>
        Assert.Equal([Some[0]], SecretSet.Create(Some[0]).ValidAt(Start));

    [Fact]
    public void Both_kinds_can_be_current_together_and_two_of_one_kind_cannot()
    {
        var pair = WebhookSecret.Generate(WebhookSecretKind.Ed25519);
        Assert.Equal([Some[0], pair], SecretSet.Create(Some[0], pair).ValidAt(Start));
        Assert.Throws<ArgumentException>(() => SecretSet.Create(Some[0], Some[1]));
        Assert.Throws<ArgumentException>(() => SecretSet.Create());
        Assert.Throws<ArgumentException>(() => SecretSet.Create(Some[0], pair, Some[1]));
    }

    [Fact]
    public void What_was_replaced_signs_until_the_overlap_ends()
    {
        var set = SecretSet.Create(Some[0]).Rotate(TimeSpan.FromHours(24), Start, Some[1]);
        Assert.Equal([Some[1], Some[0]], set.ValidAt(Start));
        Assert.Equal([Some[1], Some[0]], set.ValidAt(Start.AddHours(24).AddTicks(-1)));
        Assert.Equal([Some[1]], set.ValidAt(Start.AddHours(24)));
    }

    [Fact]
    public void Without_overlap_nothing_but_the_new_secret_signs_also_not_what_an_earlier_rotation_left()
    {
        var set = SecretSet.Create(Some[0]).Rotate(TimeSpan.FromHours(24), Start, Some[1]).Rotate(TimeSpan.Zero, Start, Some[2]);
        Assert.Equal([Some[2]], set.ValidAt(Start));
        Assert.Empty(set.Earlier);
    }

    [Fact]
    public void A_rotation_back_makes_an_earlier_secret_current_and_not_earlier()
    {
        var set = SecretSet.Create(Some[0]).Rotate(TimeSpan.FromHours(1), Start, Some[1]).Rotate(TimeSpan.FromHours(1), Start, Some[0]);
        Assert.Equal([Some[0], Some[1]], set.ValidAt(Start));
    }

    [Fact]
    public void A_rotation_can_change_the_kind()
    {
        var pair = WebhookSecret.Generate(WebhookSecretKind.Ed25519);
        var set = SecretSet.Create(Some[0]).Rotate(TimeSpan.FromHours(1), Start, pair);
        Assert.Equal([pair, Some[0]], set.ValidAt(Start));
        Assert.Equal([pair], set.ValidAt(Start.AddHours(1)));
    }

    [Fact]
    public void An_overlap_below_zero_or_too_long_is_refused()
    {
        var set = SecretSet.Create(Some[0]);
        Assert.Throws<ArgumentOutOfRangeException>(() => set.Rotate(TimeSpan.FromSeconds(-1), Start, Some[1]));
        Assert.Throws<ArgumentOutOfRangeException>(() => set.Rotate(SecretSet.MaxOverlap.Add(TimeSpan.FromSeconds(1)), Start, Some[1]));
    }

    /// <summary>Any rotations, against a plain model: which secrets sign at every time.</summary>
    [Property(MaxTest = 200)]
    public void Rotations_keep_what_they_promise(NonEmptyArray<(byte Minutes, byte Overlap, byte Next)> rotations)
    {
        var (set, now, current) = (SecretSet.Create(Some[0]), Start, Some[0]);
        var ends = new Dictionary<WebhookSecret, DateTimeOffset>();
        foreach (var (minutes, overlap, next) in rotations.Get)
        {
            now += TimeSpan.FromMinutes(minutes);
            var secret = Some[next % Some.Length];
            var end = now + TimeSpan.FromMinutes(overlap);
            set = set.Rotate(TimeSpan.FromMinutes(overlap), now, secret);

            foreach (var earlier in ends.Keys.ToList()) ends[earlier] = ends[earlier] < end ? ends[earlier] : end;
            ends[current] = end;
            ends.Remove(secret);
            current = secret;

            Assert.Same(current, Assert.Single(set.Current));
            Assert.True(set.Earlier.Length <= SecretSet.MaxEarlier);
            foreach (var later in new[] { 0, 1, 5, 60, 300 })
            {
                var at = now.AddMinutes(later);
                var valid = set.ValidAt(at).ToList();
                Assert.Equal(current, valid[0]);
                Assert.Equal(valid.Count, valid.Distinct().Count());
                Assert.All(valid.Skip(1), s => Assert.True(ends[s] > at));
                var expected = ends.Count(e => e.Value > at);
                Assert.Equal(Math.Min(expected, SecretSet.MaxEarlier), valid.Count - 1);
                Assert.Equal(valid, set.WithoutEnded(at).ValidAt(at));
            }

            // What the bound dropped ends no later than what it kept.
            var kept = set.Earlier.Select(e => e.Secret).ToHashSet();
            if (kept.Count > 0) Assert.All(ends.Where(e => !kept.Contains(e.Key)), e => Assert.True(e.Value <= set.Earlier[^1].ValidUntil));
            foreach (var dropped in ends.Keys.Except(kept).ToList()) ends.Remove(dropped);
            AssertSame(set, SecretSet.Deserialize(set.Serialize()));
        }
    }

    [Fact]
    public void What_is_no_stored_set_is_refused()
    {
        var bytes = SecretSet.Create(Some[0], WebhookSecret.Generate(WebhookSecretKind.Ed25519))
            .Rotate(TimeSpan.FromHours(1), Start, Some[1]).Serialize();
        for (var length = 0; length < bytes.Length; length++) Assert.Throws<FormatException>(() => SecretSet.Deserialize(bytes.AsSpan(0, length)));
        Assert.Throws<FormatException>(() => SecretSet.Deserialize([.. bytes, 0]));
        Assert.Throws<FormatException>(() => SecretSet.Deserialize([2, .. bytes.AsSpan(1)]));
    }

    [Fact]
    public void The_vault_opens_what_it_closed_for_the_same_subscription_alone()
    {
        var vault = new SecretVault(new EphemeralDataProtectionProvider());
        var set = SecretSet.Create(Some[0]).Rotate(TimeSpan.FromHours(1), Start, Some[1]);
        var stored = vault.Protect(set, "acme", "wh_1");
        AssertSame(set, vault.Unprotect(stored, "acme", "wh_1"));
        Assert.Equal(-1, stored.AsSpan().IndexOf(Convert.FromBase64String(Some[1].Reveal()["whsec_".Length..])));

        foreach (var (tenant, subscription) in new[] { ("acme", "wh_2"), ("other", "wh_1"), ("wh_1", "acme"), ("acme.wh_1", ""), ("", "acme.wh_1") })
            Assert.ThrowsAny<CryptographicException>(() => vault.Unprotect(stored, tenant, subscription));
        Assert.ThrowsAny<CryptographicException>(
            () => new SecretVault(new EphemeralDataProtectionProvider()).Unprotect(stored, "acme", "wh_1"));
        for (var i = 0; i < stored.Length; i++)
        {
            var changed = stored.ToArray();
            changed[i] ^= 1;
            Assert.ThrowsAny<CryptographicException>(() => vault.Unprotect(changed, "acme", "wh_1"));
        }
    }

    private static void AssertSame(SecretSet expected, SecretSet actual)
    {
        Assert.Equal(expected.Current.Select(s => s.Reveal()), actual.Current.Select(s => s.Reveal()));
        Assert.Equal(
            expected.Earlier.Select(e => (e.Secret.Reveal(), e.ValidUntil)), actual.Earlier.Select(e => (e.Secret.Reveal(), e.ValidUntil)));
    }
}

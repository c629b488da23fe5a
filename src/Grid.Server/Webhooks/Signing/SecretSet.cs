using System.Buffers.Binary;
using System.Collections.Immutable;

namespace Grid.Server.Webhooks.Signing;

/// <summary>A secret that was replaced and signs on for a while.</summary>
/// <param name="Secret">The secret.</param>
/// <param name="ValidUntil">From when on it signs no more.</param>
internal readonly record struct RetiringSecret(WebhookSecret Secret, DateTimeOffset ValidUntil);

/// <summary>
/// The secrets of one subscription: what signs now, and what it replaced, each with its end. Immutable; a rotation makes another set.
/// </summary>
internal sealed class SecretSet
{
    /// <summary>The most replaced secrets that sign at the same time; past it the one that ends first is dropped.</summary>
    public const int MaxEarlier = 4;

    /// <summary>The longest overlap of a rotation.</summary>
    public static readonly TimeSpan MaxOverlap = TimeSpan.FromDays(30);

    private const byte Version = 1;

    private SecretSet(ImmutableArray<WebhookSecret> current, ImmutableArray<RetiringSecret> earlier) => (Current, Earlier) = (current, earlier);

    /// <summary>What signs with no end: one secret, or one of each kind.</summary>
    public ImmutableArray<WebhookSecret> Current { get; }

    /// <summary>What was replaced, the latest first; those past their end may be among them.</summary>
    public ImmutableArray<RetiringSecret> Earlier { get; }

    /// <summary>A set of one secret, or of one of each kind, which then both sign.</summary>
    /// <exception cref="ArgumentException">None, or two of one kind.</exception>
    public static SecretSet Create(params ReadOnlySpan<WebhookSecret> current) => new(Check(current), []);

    /// <summary>The set after a rotation to <paramref name="next"/>, which may be of another kind.</summary>
    /// <param name="overlap">
    /// For how long what signed before signs on, zero to <see cref="MaxOverlap"/>; what was to end sooner does. After it
    /// <paramref name="next"/> alone signs.
    /// </param>
    /// <param name="now">The time.</param>
    /// <param name="next">One secret, or one of each kind.</param>
    /// <exception cref="ArgumentException">The overlap or the secrets are none.</exception>
    public SecretSet Rotate(TimeSpan overlap, DateTimeOffset now, params ReadOnlySpan<WebhookSecret> next)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(overlap, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(overlap, MaxOverlap);
        var current = Check(next);
        var end = now + overlap;
        // A stable sort: of two that end together the later one stays.
        var earlier = Current.Select(s => new RetiringSecret(s, end))
            .Concat(Earlier.Select(e => e.ValidUntil < end ? e : e with { ValidUntil = end }))
            .Where(e => e.ValidUntil > now && !current.Any(c => c.IsSameAs(e.Secret)))
            .OrderByDescending(e => e.ValidUntil)
            .Take(MaxEarlier);
        return new SecretSet(current, [.. earlier]);
    }

    /// <summary>The set without what is past its end; the same one if that is nothing. What no longer signs need not be stored.</summary>
    public SecretSet WithoutEnded(DateTimeOffset now) =>
        Earlier.Any(e => e.ValidUntil <= now) ? new SecretSet(Current, [.. Earlier.Where(e => e.ValidUntil > now)]) : this;

    /// <summary>The set with other current secrets, without a rotation: for a kind that is added, or taken away.</summary>
    /// <exception cref="ArgumentException">None, or two of one kind.</exception>
    public SecretSet WithCurrent(params ReadOnlySpan<WebhookSecret> current) => new(Check(current), Earlier);

    /// <summary>What signs at a time, the current ones first; never empty.</summary>
    public IEnumerable<WebhookSecret> ValidAt(DateTimeOffset now)
    {
        foreach (var secret in Current) yield return secret;
        foreach (var (secret, validUntil) in Earlier)
        {
            if (validUntil > now) yield return secret;
        }
    }

    /// <summary>
    /// The stored form, still to be encrypted (<see cref="SecretVault"/>): a version (1); the number of current secrets and each of
    /// them; the number of earlier ones and each, followed by its end in Unix milliseconds (8 bytes, little endian). A secret is its
    /// kind, the length of its key and the key. Numbers without a length are a byte each.
    /// </summary>
    public byte[] Serialize()
    {
        var bytes = GC.AllocateUninitializedArray<byte>(
            3 + Current.Sum(s => 2 + s.KeyLength) + Earlier.Sum(e => 2 + e.Secret.KeyLength + sizeof(long)), pinned: true);
        bytes[0] = Version;
        bytes[1] = (byte)Current.Length;
        var at = 2;
        foreach (var secret in Current) Write(secret);
        bytes[at++] = (byte)Earlier.Length;
        foreach (var (secret, validUntil) in Earlier)
        {
            Write(secret);
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(at), validUntil.ToUnixTimeMilliseconds());
            at += sizeof(long);
        }

        return bytes;

        void Write(WebhookSecret secret)
        {
            bytes[at] = (byte)secret.Kind;
            bytes[at + 1] = (byte)secret.KeyLength;
            secret.CopyKey(bytes.AsSpan(at + 2));
            at += 2 + secret.KeyLength;
        }
    }

    /// <summary>Reads the form of <see cref="Serialize"/>.</summary>
    /// <exception cref="FormatException">It is none, or a later version's.</exception>
    public static SecretSet Deserialize(ReadOnlySpan<byte> bytes)
    {
        var rest = bytes;
        if (TakeByte(ref rest) != Version) throw Unreadable();
        var current = new WebhookSecret[TakeByte(ref rest)];
        for (var i = 0; i < current.Length; i++) current[i] = TakeSecret(ref rest);
        var earlier = new RetiringSecret[TakeByte(ref rest)];
        for (var i = 0; i < earlier.Length; i++)
        {
            var secret = TakeSecret(ref rest);
            earlier[i] = new RetiringSecret(secret, TakeTime(ref rest));
        }

        if (rest.Length > 0 || earlier.Length > MaxEarlier) throw Unreadable();
        try
        {
            return new SecretSet(Check(current), [.. earlier]);
        }
        catch (ArgumentException)
        {
            throw Unreadable();
        }
    }

    /// <summary>How many secrets there are, and nothing of them.</summary>
    public override string ToString() => $"{Current.Length} current and {Earlier.Length} earlier secrets";

    private static ImmutableArray<WebhookSecret> Check(ReadOnlySpan<WebhookSecret> secrets) => secrets switch
    {
        [_] => [.. secrets],
        [var first, var second] when first.Kind != second.Kind => [.. secrets],
        _ => throw new ArgumentException("A subscription has one current secret, or one of each kind.", nameof(secrets)),
    };

    private static byte TakeByte(ref ReadOnlySpan<byte> rest) => Take(ref rest, 1)[0];

    private static WebhookSecret TakeSecret(ref ReadOnlySpan<byte> rest)
    {
        var kind = (WebhookSecretKind)TakeByte(ref rest);
        var length = TakeByte(ref rest);
        return WebhookSecret.FromKey(kind, Take(ref rest, length));
    }

    private static DateTimeOffset TakeTime(ref ReadOnlySpan<byte> rest)
    {
        var milliseconds = BinaryPrimitives.ReadInt64LittleEndian(Take(ref rest, sizeof(long)));
        return milliseconds >= 0 && milliseconds <= DateTimeOffset.MaxValue.ToUnixTimeMilliseconds()
            ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds)
            : throw Unreadable();
    }

    private static ReadOnlySpan<byte> Take(ref ReadOnlySpan<byte> rest, int length)
    {
        if (rest.Length < length) throw Unreadable();
        var taken = rest[..length];
        rest = rest[length..];
        return taken;
    }

    private static FormatException Unreadable() => new("No stored set of webhook secrets, or one of a later version.");
}

using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace Grid.Server.Tenancy;

/// <summary>
/// Resume tokens: <c>base64url(claims).base64url(HMAC-SHA256 of the first part's text)</c>, the key being the store's secret
/// <c>resume</c>, so that they survive restarts and hold on every silo. Claims: a version byte (1), the generation (8 bytes, little
/// endian), then tenant, session and user, each as a length byte-pair and UTF-8.
/// </summary>
internal sealed class ResumeTokens(ISecretStore secrets) : IResumeTokens
{
    /// <summary>The longest token accepted, in characters.</summary>
    public const int MaxLength = 2048;

    private const byte Version = 1;
    private const int SignatureLength = 43;

    // A store that is away at the first use must not be remembered as the answer.
    private readonly Lazy<byte[]> _secret = new(() => secrets.GetOrCreate(SecretNames.Resume), LazyThreadSafetyMode.PublicationOnly);

    /// <inheritdoc/>
    public string Issue(ResumeClaims claims)
    {
        string[] texts = [claims.Tenant, claims.Session, claims.User];
        var bytes = new byte[1 + sizeof(long) + texts.Sum(t => 2 + Encoding.UTF8.GetByteCount(t))];
        bytes[0] = Version;
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(1), claims.Generation);
        var at = 1 + sizeof(long);
        foreach (var text in texts)
        {
            var length = Encoding.UTF8.GetBytes(text, bytes.AsSpan(at + 2));
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(at), checked((ushort)length));
            at += 2 + length;
        }

        var payload = Base64Url.EncodeToString(bytes);
        return $"{payload}.{Sign(payload)}";
    }

    /// <inheritdoc/>
    public ResumeClaims? Verify(string token)
    {
        var dot = token.Length <= MaxLength ? token.IndexOf('.', StringComparison.Ordinal) : -1;
        if (dot < 0 || token.Length - dot - 1 != SignatureLength) return null;

        // Signed and compared as text: one signature has one spelling, and what was not signed is never parsed.
        var expected = Encoding.UTF8.GetBytes(Sign(token[..dot]));
        var given = Encoding.UTF8.GetBytes(token[(dot + 1)..]);
        if (!CryptographicOperations.FixedTimeEquals(expected, given)) return null;

        ReadOnlySpan<byte> bytes = Base64Url.DecodeFromChars(token.AsSpan(0, dot));
        if (bytes.Length < 1 + sizeof(long) || bytes[0] != Version) return null;
        var generation = BinaryPrimitives.ReadInt64LittleEndian(bytes[1..]);
        var rest = bytes[(1 + sizeof(long))..];
        return TryTake(ref rest, out var tenant) && TryTake(ref rest, out var session) && TryTake(ref rest, out var user) && rest.IsEmpty
            ? new ResumeClaims(tenant, session, user, generation)
            : null;
    }

    private static bool TryTake(ref ReadOnlySpan<byte> rest, out string text)
    {
        text = "";
        if (rest.Length < 2) return false;
        var length = BinaryPrimitives.ReadUInt16LittleEndian(rest);
        if (rest.Length < 2 + length) return false;
        text = Encoding.UTF8.GetString(rest.Slice(2, length));
        rest = rest[(2 + length)..];
        return true;
    }

    private string Sign(string payload) => Base64Url.EncodeToString(HMACSHA256.HashData(_secret.Value, Encoding.UTF8.GetBytes(payload)));
}

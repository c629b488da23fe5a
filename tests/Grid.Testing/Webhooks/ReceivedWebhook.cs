using System.Collections.Frozen;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Grid.Testing.Net;

namespace Grid.Testing.Webhooks;

/// <summary>A request that a <see cref="WebhookReceiver"/> got, and how it was answered.</summary>
public sealed class ReceivedWebhook
{
    private readonly FrozenDictionary<string, string> _headers;

    internal ReceivedWebhook(TcpRequest request, int number)
    {
        var lines = request.Head.Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        var words = lines[0].Split(' ');
        (Method, Path, Body, Number) = (words[0], words[1], request.Body, number);
        _headers = lines.Skip(1).Select(line => line.Split(':', 2))
            .GroupBy(parts => parts[0].Trim(), parts => parts[1].Trim(), StringComparer.OrdinalIgnoreCase)
            .ToFrozenDictionary(group => group.Key, group => string.Join(", ", group), StringComparer.OrdinalIgnoreCase);
    }

    /// <summary>Its place among all that the receiver got, from 1.</summary>
    public int Number { get; }

    /// <summary>When it had come.</summary>
    public DateTimeOffset At { get; } = DateTimeOffset.UtcNow;

    /// <summary>Its method.</summary>
    public string Method { get; }

    /// <summary>Its path and query.</summary>
    public string Path { get; }

    /// <summary>Its headers; names in any case.</summary>
    public IReadOnlyDictionary<string, string> Headers => _headers;

    /// <summary>Its body.</summary>
    public byte[] Body { get; }

    /// <summary>The body as text.</summary>
    public string Text => Encoding.UTF8.GetString(Body);

    /// <summary>The body as JSON.</summary>
    public JsonElement Json => JsonElement.Parse(Body);

    /// <summary><c>webhook-id</c>.</summary>
    public string Id => Header("webhook-id");

    /// <summary><c>grid-channel</c>.</summary>
    public string Channel => Header("grid-channel");

    /// <summary><c>grid-offset</c>.</summary>
    public long Offset => long.Parse(Header("grid-offset"), CultureInfo.InvariantCulture);

    /// <summary><c>grid-attempt</c>.</summary>
    public int Attempt => int.Parse(Header("grid-attempt"), CultureInfo.InvariantCulture);

    /// <summary>The entries of <c>webhook-signature</c>.</summary>
    public IReadOnlyList<string> Signatures => Header("webhook-signature").Split(' ');

    /// <summary>The status that it was answered with, once the answer was sent whole.</summary>
    public int? Answered { get; internal set; }

    /// <summary>How much of the answer's body the connection took.</summary>
    public long AnswerBytes { get; internal set; }

    /// <summary>A header; empty if there is none.</summary>
    public string Header(string name) => _headers.GetValueOrDefault(name, "");

    /// <summary>
    /// Whether one of its <c>v1</c> signatures is by a secret (<c>whsec_…</c>), as the Standard Webhooks specification says. Written from
    /// the specification alone, so that a mistake in Grid's own verifier is not repeated.
    /// </summary>
    public bool IsSignedBy(string secret)
    {
        ArgumentNullException.ThrowIfNull(secret);
        var key = Convert.FromBase64String(secret["whsec_".Length..]);
        byte[] signed = [.. Encoding.UTF8.GetBytes($"{Id}.{Header("webhook-timestamp")}."), .. Body];
        return Signatures.Contains("v1," + Convert.ToBase64String(HMACSHA256.HashData(key, signed)));
    }

    /// <inheritdoc/>
    public override string ToString() =>
        $"#{Number} {Method} {Path} {Channel}/{Header("grid-offset")} attempt {Header("grid-attempt")} id {Id} answered {Answered?.ToString(CultureInfo.InvariantCulture) ?? "nothing"}";
}

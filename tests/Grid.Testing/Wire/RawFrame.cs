using System.Globalization;
using System.Text.Json;

namespace Grid.Testing.Wire;

/// <summary>A position on the wire: <c>{"epoch","offset"}</c>.</summary>
/// <param name="Epoch">The channel's epoch.</param>
/// <param name="Offset">The offset.</param>
public readonly record struct RawPosition(string Epoch, long Offset);

/// <summary>A frame as it came from the server.</summary>
public sealed class RawFrame
{
    /// <summary>Parses a frame.</summary>
    /// <exception cref="JsonException">The text is not JSON.</exception>
    public RawFrame(long index, string text)
    {
        Index = index;
        Text = text;
        Json = JsonElement.Parse(text);
        Type = Json.ValueKind == JsonValueKind.Object && Json.TryGetProperty("type", out var type) ? type.GetString() ?? "" : "";
    }

    /// <summary>Its number among the frames of its connection, from 0.</summary>
    public long Index { get; }

    /// <summary>Its text as received.</summary>
    public string Text { get; }

    /// <summary>Its content.</summary>
    public JsonElement Json { get; }

    /// <summary>Its <c>type</c>.</summary>
    public string Type { get; }

    /// <summary>Its <c>channel</c>, or null.</summary>
    public string? Channel => String("channel");

    /// <summary>Its <c>id</c>, or null.</summary>
    public long? Id => Json.TryGetProperty("id", out var id) ? id.GetInt64() : null;

    /// <summary>Its <c>offset</c>.</summary>
    public long Offset => Number("offset");

    /// <summary>Its <c>cursor</c>.</summary>
    public long Cursor => Number("cursor");

    /// <summary>Its <c>head</c>.</summary>
    public long Head => Number("head");

    /// <summary>Its <c>epoch</c>.</summary>
    public string Epoch => String("epoch") ?? throw Lacks("epoch");

    /// <summary>Its <c>code</c>, or null.</summary>
    public string? Code => String("code");

    /// <summary>The position of a <c>published</c>, <c>gap</c> … frame: its epoch and offset.</summary>
    public RawPosition Position => new(Epoch, Offset);

    /// <summary>The payload of a message: the JSON of <c>data</c> as it came, or <c>base64:</c> and the text of <c>data64</c>.</summary>
    public string Payload => PayloadOf(Json) ?? throw Lacks("data");

    /// <summary>Whether it has a field of this name.</summary>
    public bool Has(string name) => Json.TryGetProperty(name, out _);

    /// <summary>A text field, or null.</summary>
    public string? String(string name) => Json.TryGetProperty(name, out var value) ? value.GetString() : null;

    /// <summary>A number field.</summary>
    public long Number(string name) => Json.TryGetProperty(name, out var value) ? value.GetInt64() : throw Lacks(name);

    /// <summary>The payload of a message object, in frames and in HTTP answers alike; null without one.</summary>
    public static string? PayloadOf(JsonElement message) =>
        message.TryGetProperty("data64", out var bytes) ? "base64:" + bytes.GetString()
        : message.TryGetProperty("data", out var data) ? data.GetRawText()
        : null;

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"#{Index} {Shorten(Text, 200)}");

    /// <summary>The text, cut to <paramref name="length"/> characters.</summary>
    public static string Shorten(string text, int length)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.Length <= length ? text : $"{text[..length]}… ({text.Length} characters)";
    }

    private TestFailedException Lacks(string name) => new($"The frame has no '{name}': {Shorten(Text, 200)}");
}

/// <summary>How a connection ended.</summary>
/// <param name="Code">The close code; 1006 when the socket ended without a close frame.</param>
/// <param name="Reason">The close reason, or the error that ended it.</param>
public sealed record RawClose(int Code, string Reason);

/// <summary>What <c>welcome</c> said.</summary>
public sealed class RawWelcome(RawFrame frame)
{
    /// <summary>The frame.</summary>
    public RawFrame Frame { get; } = frame;

    /// <summary>The session's id.</summary>
    public string Session { get; } = frame.String("session") ?? throw new TestFailedException($"No session in {frame}");

    /// <summary>The token to resume with.</summary>
    public string ResumeToken { get; } = frame.String("resumeToken") ?? throw new TestFailedException($"No resumeToken in {frame}");

    /// <summary><c>new</c>, <c>resumed</c> or <c>expired</c>.</summary>
    public string State { get; } = frame.String("state") ?? throw new TestFailedException($"No state in {frame}");

    /// <summary>The subscriptions that go on, by channel.</summary>
    public IReadOnlyDictionary<string, RawSubscription> Subscriptions { get; } = ReadSubscriptions(frame.Json);

    private static Dictionary<string, RawSubscription> ReadSubscriptions(JsonElement welcome)
    {
        var all = new Dictionary<string, RawSubscription>(StringComparer.Ordinal);
        if (!welcome.TryGetProperty("subscriptions", out var list)) return all;
        foreach (var item in list.EnumerateArray())
        {
            all.Add(
                item.GetProperty("channel").GetString()!,
                new RawSubscription(
                    item.GetProperty("epoch").GetString()!, item.GetProperty("head").GetInt64(), item.GetProperty("cursor").GetInt64()));
        }

        return all;
    }
}

/// <summary>A subscription as <c>welcome</c> and <c>subscribed</c> tell it.</summary>
/// <param name="Epoch">The channel's epoch.</param>
/// <param name="Head">Its head then.</param>
/// <param name="Cursor">The offset before the first message that follows.</param>
public sealed record RawSubscription(string Epoch, long Head, long Cursor);

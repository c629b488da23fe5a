using System.Buffers;

namespace Grid.Protocol;

/// <summary>The grammar of channel names: 1 to 200 characters of <c>A-Z a-z 0-9 _ . : ~ @ -</c>.</summary>
public static class ChannelName
{
    /// <summary>The longest name, in characters (which are bytes: the alphabet is ASCII).</summary>
    public const int MaxLength = 200;

    /// <summary>The namespace of a name without a colon.</summary>
    public const string DefaultNamespace = "default";

    private const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:~@-";
    private static readonly SearchValues<char> AllowedChars = SearchValues.Create(Alphabet);
    private static readonly SearchValues<byte> AllowedBytes = SearchValues.Create(System.Text.Encoding.ASCII.GetBytes(Alphabet));

    /// <summary>Whether <paramref name="name"/> is a channel name.</summary>
    public static bool IsValid(ReadOnlySpan<char> name) =>
        name.Length is > 0 and <= MaxLength && !name.ContainsAnyExcept(AllowedChars);

    /// <summary>Whether the UTF-8 bytes <paramref name="name"/> are a channel name.</summary>
    public static bool IsValid(ReadOnlySpan<byte> name) =>
        name.Length is > 0 and <= MaxLength && !name.ContainsAnyExcept(AllowedBytes);

    /// <summary>Whether <paramref name="pattern"/> is a channel name, or a prefix of one (possibly empty) ending in <c>*</c>.</summary>
    public static bool IsValidPattern(ReadOnlySpan<char> pattern) => pattern is [.. var prefix, '*']
        ? prefix.Length <= MaxLength && !prefix.ContainsAnyExcept(AllowedChars)
        : IsValid(pattern);

    /// <summary>The part before the first colon, which picks the policy; <see cref="DefaultNamespace"/> without one.</summary>
    public static ReadOnlySpan<char> NamespaceOf(ReadOnlySpan<char> name)
    {
        var colon = name.IndexOf(':');
        return colon > 0 ? name[..colon] : DefaultNamespace;
    }
}

namespace Grid.Protocol;

/// <summary>What holds for the frames of clients in every codec.</summary>
internal static class ClientRules
{
    /// <summary>The largest N of <c>{"last":N}</c>.</summary>
    public const int MaxLast = 1000;

    public const string KeyProblem = "key must be a string of 1 to 256 bytes without control characters";
    public const string EventProblem = "event must be a string of 1 to 128 characters without control characters";
    public const string TokenProblem = "token must be a string of at most 16384 characters";

    /// <summary>The number of characters that are kept of <c>client</c>.</summary>
    private const int MaxClientLength = 128;

    /// <summary>What is kept of <c>client</c>.</summary>
    public static string? ShortenClient(string? client)
    {
        if (client is not { Length: > MaxClientLength }) return client;
        // A surrogate pair is kept whole or not at all.
        return client[..(char.IsHighSurrogate(client[MaxClientLength - 1]) ? MaxClientLength - 1 : MaxClientLength)];
    }
}

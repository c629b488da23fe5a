namespace Grid.Server.Tenancy;

/// <summary>
/// The grammar of users: 1 to 128 characters without control characters and unpaired surrogates. Names that begin with
/// <see cref="ReservedPrefix"/> are Grid's own.
/// </summary>
internal static class UserName
{
    /// <summary>The longest name, in characters.</summary>
    public const int MaxLength = 128;

    /// <summary>What no token's user begins with.</summary>
    public const string ReservedPrefix = "grid:";

    /// <summary>The user of sessions that were opened with an API key.</summary>
    public const string Server = ReservedPrefix + "server";

    /// <summary>Whether <paramref name="user"/> can be the user of a token.</summary>
    public static bool IsValid(string? user)
    {
        if (user is not { Length: > 0 and <= MaxLength } || user.StartsWith(ReservedPrefix, StringComparison.Ordinal)) return false;
        for (var i = 0; i < user.Length; i++)
        {
            if (char.IsControl(user[i])) return false;
            if (!char.IsSurrogate(user[i])) continue;
            if (i + 1 == user.Length || !char.IsSurrogatePair(user[i], user[i + 1])) return false;
            i++;
        }

        return true;
    }
}

namespace Grid.Server.Tenancy;

/// <summary>The grammar of users: 1 to 128 characters without control characters and unpaired surrogates.</summary>
internal static class UserName
{
    /// <summary>The longest name, in characters.</summary>
    public const int MaxLength = 128;

    /// <summary>Whether <paramref name="user"/> can be the user of a token.</summary>
    public static bool IsValid(string? user)
    {
        if (user is not { Length: > 0 and <= MaxLength }) return false;
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

namespace Grid.Testing.Servers;

/// <summary>Finds the programs that tests start: on the path, or where Debian keeps those that it leaves out of it.</summary>
public static class ServerPrograms
{
    /// <summary>
    /// Debian has PostgreSQL's programs in a folder for each version, and HAProxy in one that is on no ordinary user's path.
    /// </summary>
    private static IEnumerable<string> Folders =>
    [
        .. (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries),
        "/usr/sbin",
        "/sbin",
        .. PostgresFolders(),
    ];

    /// <summary>The full path of a program.</summary>
    /// <param name="name">Such as <c>initdb</c>.</param>
    /// <param name="package">Debian's package that has it, for the failure's message.</param>
    /// <exception cref="TestFailedException">It is not installed.</exception>
    public static string Find(string name, string package) =>
        Folders.Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists)
        ?? throw new TestFailedException($"'{name}' is not installed. Debian has it in the package {package}.");

    private static IEnumerable<string> PostgresFolders()
    {
        const string Root = "/usr/lib/postgresql";
        if (!Directory.Exists(Root)) return [];
        return Directory.GetDirectories(Root)
            .OrderByDescending(folder => int.TryParse(Path.GetFileName(folder), out var version) ? version : 0)
            .Select(folder => Path.Combine(folder, "bin"));
    }
}

namespace Grid.Testing;

/// <summary>Where the sources are, and where results go.</summary>
public static class Repository
{
    /// <summary>The repository's root.</summary>
    public static string Root { get; } = Find();

    /// <summary>The full path of a file or folder.</summary>
    public static string PathOf(string relative) => Path.Combine(Root, relative);

    /// <summary>The text of a file.</summary>
    public static string Read(string relative) => File.ReadAllText(PathOf(relative));

    /// <summary>A folder for what a person may want to look at after a run; it is made if it is missing.</summary>
    public static string Results(string name) =>
        Directory.CreateDirectory(Path.Combine(Root, "artifacts", "test-results", name)).FullName;

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "Grid.sln"))) return folder.FullName;
        throw new TestFailedException("Grid.sln was not found above the tests' folder.");
    }
}

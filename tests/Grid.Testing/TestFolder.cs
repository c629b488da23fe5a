namespace Grid.Testing;

/// <summary>A new, empty folder in the system's temporary folder, removed on dispose.</summary>
public sealed class TestFolder : IDisposable
{
    /// <summary>Makes the folder.</summary>
    /// <param name="name">A word in its name that tells whose it is, should one ever be left behind.</param>
    public TestFolder(string name = "test") => Path = Directory.CreateTempSubdirectory($"grid-{name}-").FullName;

    /// <summary>Its full path.</summary>
    public string Path { get; }

    /// <summary>The path of a file or folder in it.</summary>
    public string this[string name] => System.IO.Path.Combine(Path, name);

    /// <inheritdoc/>
    public void Dispose()
    {
        try
        {
            if (Directory.Exists(Path)) Directory.Delete(Path, recursive: true);
        }
        catch (IOException)
        {
            // A file that another process still creates there must not hide the test's own outcome.
        }
    }
}

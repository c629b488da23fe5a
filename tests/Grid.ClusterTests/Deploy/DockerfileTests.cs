using System.Xml.Linq;
using Grid.Testing;

namespace Grid.ClusterTests.Deploy;

/// <summary><c>deploy/Dockerfile</c> and what it is built from.</summary>
public sealed class DockerfileTests
{
    private static readonly Dockerfile File = Dockerfile.Load();

    [Fact]
    public void It_has_a_stage_that_builds_and_one_that_runs()
    {
        var from = File.Instructions.Where(i => i.Name == "FROM").ToArray();

        Assert.Equal(["build", "final"], from.Select(i => i.Stage));
        Assert.All(from, i => Assert.True(ImageName.IsPinned(i.Words.First()), i.Arguments));
        // No SDK, no shell, no package manager in what runs.
        Assert.Contains("-chiselled", from[1].Arguments, StringComparison.Ordinal);
        Assert.DoesNotContain(File.Instructions, i => i is { Stage: "final", Name: "RUN" });
    }

    [Fact]
    public void Everything_that_is_copied_exists_and_is_sent_to_the_builder()
    {
        var allowed = Repository.Read("deploy/Dockerfile.dockerignore").Split('\n')
            .Where(line => line.StartsWith('!')).Select(line => line[1..]).ToArray();

        Assert.NotEmpty(File.Copied);
        Assert.All(File.Copied, path =>
        {
            Assert.True(Path.Exists(Repository.PathOf(path)), path);
            Assert.Contains(allowed, line => path == line || path.StartsWith(line + "/", StringComparison.Ordinal));
        });
    }

    [Fact]
    public void Every_project_that_the_host_refers_to_is_copied_before_the_restore()
    {
        var copied = File.Instructions.TakeWhile(i => i.Name != "RUN").Where(i => i.Name == "COPY").SelectMany(i => i.Words.SkipLast(1)).ToHashSet();

        Assert.All(Projects("src/Grid.Host/Grid.Host.csproj"), project => Assert.Contains(project, copied));
    }

    [Fact]
    public void The_image_runs_as_an_ordinary_user_and_ends_by_the_signal_of_the_drain()
    {
        var user = File.Final("USER").Arguments.Split(':')[0];

        Assert.True(int.TryParse(user, out var id) && id > 0, user);
        Assert.Equal("SIGTERM", File.Final("STOPSIGNAL").Arguments);
        Assert.Contains(File.Port.ToString(System.Globalization.CultureInfo.InvariantCulture), File.Final("EXPOSE").Words);
        // What the embedded store writes to belongs to that user.
        Assert.Contains(File.Instructions, i => i.Name == "COPY" && i.Option("chown") == $"{user}:{user}" && i.Words.Last() == File.Environment["Grid__DataDirectory"]);
        Assert.Equal(File.Environment["Grid__DataDirectory"], File.Final("VOLUME").Arguments);
    }

    [Fact]
    public void Its_settings_are_known() =>
        Assert.All(File.Environment.Keys.Where(KnownSettings.LooksLikeOne), name => Assert.True(KnownSettings.Contains(name), name));

    [Fact]
    public void The_manifests_run_it_as_the_same_user_on_the_same_port() =>
        Assert.Contains(
            $"runAsUser: {File.Final("USER").Arguments.Split(':')[0]}", Repository.Read("k8s/base/deployment.yaml"), StringComparison.Ordinal);

    private static IEnumerable<string> Projects(string project)
    {
        yield return project;
        var folder = Path.GetDirectoryName(Repository.PathOf(project))!;
        foreach (var reference in XDocument.Load(Repository.PathOf(project)).Descendants("ProjectReference").Select(r => r.Attribute("Include")!.Value))
        {
            foreach (var further in Projects(Path.GetRelativePath(Repository.Root, Path.GetFullPath(Path.Combine(folder, reference))))) yield return further;
        }
    }
}

using Grid.Testing;
using Grid.Testing.Servers;
using k8s.Models;

namespace Grid.ClusterTests.Deploy;

/// <summary>Every file of <c>k8s</c> is what Kubernetes takes, field by field.</summary>
public sealed class ManifestFileTests
{
    public static TheoryData<string> Files { get; } =
    [
        .. Directory.GetFiles(Repository.PathOf("k8s"), "*.y*ml", SearchOption.AllDirectories)
            .Where(file => Path.GetFileName(file) != "kustomization.yaml")
            .Select(file => Path.GetRelativePath(Repository.Root, file)).Order(StringComparer.Ordinal),
    ];

    public static TheoryData<string> Folders { get; } = [.. ManifestSet.Folders];

    [Fact]
    public void The_base_and_the_overlays_are_found() =>
        Assert.Equal(["base", "overlays/dev", "overlays/production"], ManifestSet.Folders);

    [Theory]
    [MemberData(nameof(Files))]
    public void A_file_has_no_unknown_kinds_or_fields(string file) => Assert.NotEmpty(ManifestSet.Load(file, Repository.Read(file)));

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task What_kustomize_makes_has_none_either(string folder) => Assert.NotEmpty((await ManifestSet.BuildAsync(folder)).Objects);

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Kustomize_has_no_warnings(string folder)
    {
        var made = await Commands.RunAsync(
            ServerPrograms.Find("kubectl", "kubernetes-client (1.21 or later)"), ["kustomize", Repository.PathOf(Path.Combine("k8s", folder))]);

        Assert.Equal("", made.Ok().Errors);
    }

    [Fact]
    public void An_unknown_field_is_found()
    {
        const string Misspelt = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n  port: []\n";

        Assert.Throws<TestFailedException>(() => ManifestSet.Load("test", Misspelt));
    }

    [Fact]
    public void Every_file_is_part_of_something_that_is_applied()
    {
        foreach (var folder in ManifestSet.Folders)
        {
            var named = Repository.Read($"k8s/{folder}/kustomization.yaml");
            foreach (var file in Directory.GetFiles(Repository.PathOf($"k8s/{folder}"), "*", SearchOption.TopDirectoryOnly).Select(Path.GetFileName))
                Assert.True(file == "kustomization.yaml" || named.Contains(file!, StringComparison.Ordinal), $"k8s/{folder}/{file} is not named.");
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task No_secret_is_in_it(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);

        Assert.Empty(set.Objects.OfType<V1Secret>());
        foreach (var (name, _, spec) in set.Pods)
        {
            foreach (var env in spec.Containers.SelectMany(c => c.Env ?? []).Where(e => IsSecret(e.Name)))
                Assert.True(env.ValueFrom?.SecretKeyRef is not null, $"{name}: {env.Name} is not from a Secret.");
        }

        Assert.DoesNotContain(set.Objects.OfType<V1ConfigMap>().SelectMany(map => map.Data), entry => IsSecret(entry.Key));
    }

    private static bool IsSecret(string name) =>
        name.StartsWith("ConnectionStrings__", StringComparison.Ordinal)
        || name.Contains("KEY", StringComparison.OrdinalIgnoreCase) || name.Contains("PASSWORD", StringComparison.OrdinalIgnoreCase)
        || name == "REDISCLI_AUTH";
}

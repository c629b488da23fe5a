using Grid.Testing;
using Grid.Testing.Servers;
using k8s;
using k8s.Models;
using YamlDotNet.RepresentationModel;

namespace Grid.ClusterTests.Deploy;

/// <summary>Manifests that are applied together: what <c>kubectl kustomize</c> makes of a folder.</summary>
internal sealed record ManifestSet(string Name, IReadOnlyList<IKubernetesObject<V1ObjectMeta>> Objects)
{
    private static readonly Dictionary<string, Task<ManifestSet>> Built = new(StringComparer.Ordinal);

    /// <summary>The folders that can be applied, below <c>k8s</c>: every one with a <c>kustomization.yaml</c>.</summary>
    public static IReadOnlyList<string> Folders { get; } =
    [
        .. Directory.GetFiles(Repository.PathOf("k8s"), "kustomization.yaml", SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(Repository.PathOf("k8s"), Path.GetDirectoryName(file)!)).Order(StringComparer.Ordinal),
    ];

    /// <summary>The silos.</summary>
    public V1Deployment Deployment => One<V1Deployment>();

    /// <summary>The container of a silo.</summary>
    public V1Container Silo => Deployment.Spec.Template.Spec.Containers.Single();

    /// <summary>The settings of silos: of their config map, then their own.</summary>
    public IReadOnlyDictionary<string, string> Settings =>
        Silo.EnvFrom.SelectMany(from => Get<V1ConfigMap>(from.ConfigMapRef.Name).Data)
            .Concat(Silo.Env.Where(env => env.Value is not null).Select(env => KeyValuePair.Create(env.Name, env.Value)))
            .ToDictionary(StringComparer.Ordinal);

    /// <summary>Everything that makes pods: name, labels of the pods, their specification.</summary>
    public IEnumerable<(string Name, IDictionary<string, string> Labels, V1PodSpec Spec)> Pods =>
        Objects.Select(o => o switch
        {
            V1Deployment d => (d.Name(), d.Spec.Template.Metadata.Labels, d.Spec.Template.Spec),
            V1StatefulSet s => (s.Name(), s.Spec.Template.Metadata.Labels, s.Spec.Template.Spec),
            V1DaemonSet or V1Job or V1CronJob or V1Pod or V1ReplicaSet => throw new TestFailedException($"{o.Kind} is not looked at here yet."),
            _ => default,
        }).Where(pod => pod.Item1 is not null);

    /// <summary>What kustomize makes of a folder below <c>k8s</c>, loaded strictly; built once.</summary>
    public static Task<ManifestSet> BuildAsync(string folder)
    {
        lock (Built)
        {
            if (!Built.TryGetValue(folder, out var set)) Built[folder] = set = Task.Run(() => KustomizeAsync(folder));
            return set;
        }
    }

    /// <summary>Loads every object of a text. What Kubernetes would not know, a kind or a field, fails.</summary>
    public static IReadOnlyList<IKubernetesObject<V1ObjectMeta>> Load(string name, string yaml)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        try
        {
            var objects = KubernetesYaml.LoadAllFromString(yaml, null, strict: true);
            if (objects.Count != stream.Documents.Count)
                throw new TestFailedException($"{name} has {stream.Documents.Count} documents, of which {objects.Count} are known to Kubernetes.");
            return [.. objects.Cast<IKubernetesObject<V1ObjectMeta>>()];
        }
        catch (Exception e) when (e is not TestFailedException)
        {
            throw new TestFailedException($"{name}: {e.Message} {e.InnerException?.Message}");
        }
    }

    /// <summary>The only object of a type.</summary>
    public T One<T>() => Objects.OfType<T>().Single();

    /// <summary>The object of a type and name.</summary>
    public T Get<T>(string name)
        where T : IKubernetesObject<V1ObjectMeta> =>
        Objects.OfType<T>().SingleOrDefault(o => o.Name() == name) ?? throw new TestFailedException($"{Name} has no {typeof(T).Name} '{name}'.");

    private static async Task<ManifestSet> KustomizeAsync(string folder)
    {
        var made = await Commands.RunAsync(
            ServerPrograms.Find("kubectl", "kubernetes-client (1.21 or later)"), ["kustomize", Repository.PathOf(Path.Combine("k8s", folder))]);
        return new ManifestSet(folder, Load(folder, made.Ok().Output));
    }
}

using System.Globalization;
using System.Net;
using Grid.Server.Hosting;
using Grid.Server.Log.Postgres;
using Grid.Server.Webhooks;
using Grid.Testing;
using k8s.Models;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Grid.ClusterTests.Deploy;

/// <summary>What manifests say together holds: what they refer to exists, and the numbers fit each other and the host.</summary>
public sealed class ManifestTests
{
    /// <summary>What a stop may take longer than the sum of its parts, on a node that is busy.</summary>
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(15);

    public static TheoryData<string> Folders { get; } = [.. ManifestSet.Folders];

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Every_setting_is_one_that_the_host_knows_and_takes(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);

        Assert.All(set.Settings.Keys.Concat(set.Silo.Env.Select(env => env.Name)), name => Assert.True(KnownSettings.Contains(name), name));
        DeployedOptions.Verify(set.Settings);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task The_grace_period_covers_the_drain(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);

        var preStop = TimeSpan.FromSeconds(set.Silo.Lifecycle?.PreStop?.Sleep?.Seconds ?? 0);
        var needed = preStop + DeployedOptions.LongestStop(set.Settings) + Margin;
        Assert.InRange(set.Deployment.Spec.Template.Spec.TerminationGracePeriodSeconds ?? 30, needed.TotalSeconds, 600);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task The_notice_outlasts_the_readiness_probe(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        var probe = set.Silo.ReadinessProbe;

        Assert.True(DeployedOptions.Bind(set.Settings).DrainNotice >= TimeSpan.FromSeconds((probe.PeriodSeconds * probe.FailureThreshold)!.Value));
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Selectors_match_what_they_are_for(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        var silo = set.Deployment.Spec.Template.Metadata.Labels;

        Assert.True(Matches(set.Deployment.Spec.Selector.MatchLabels, silo));
        Assert.All(set.Objects.OfType<V1StatefulSet>(), s => Assert.True(Matches(s.Spec.Selector.MatchLabels, s.Spec.Template.Metadata.Labels)));
        Assert.All(set.Objects.OfType<V1Service>(), s => Assert.Single(set.Pods, pod => Matches(s.Spec.Selector, pod.Labels)));
        Assert.All(set.Objects.OfType<V1NetworkPolicy>(), p => Assert.Single(set.Pods, pod => Matches(p.Spec.PodSelector.MatchLabels, pod.Labels)));
        Assert.Equal(2, set.Deployment.Spec.Template.Spec.TopologySpreadConstraints.Count);
        Assert.All(set.Deployment.Spec.Template.Spec.TopologySpreadConstraints, c => Assert.True(Matches(c.LabelSelector.MatchLabels, silo)));
        Assert.True(Matches(set.One<V1PodDisruptionBudget>().Spec.Selector.MatchLabels, silo));
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Ports_that_are_named_exist(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        foreach (var service in set.Objects.OfType<V1Service>())
        {
            var ports = Ports(set.Pods.Single(pod => Matches(service.Spec.Selector, pod.Labels)).Spec);
            Assert.All(service.Spec.Ports, port => Assert.Contains(port.TargetPort.Value, ports));
        }

        foreach (var (_, _, spec) in set.Pods)
        {
            foreach (var probe in spec.Containers.SelectMany(c => new[] { c.StartupProbe, c.ReadinessProbe, c.LivenessProbe }).Where(p => p?.HttpGet is not null))
                Assert.Contains(probe.HttpGet.Port.Value, Ports(spec));
        }

        foreach (var backend in set.Objects.OfType<V1Ingress>().SelectMany(i => i.Spec.Rules).SelectMany(r => r.Http.Paths).Select(p => p.Backend.Service))
            Assert.Contains(backend.Port.Name, set.Get<V1Service>(backend.Name).Spec.Ports.Select(p => p.Name));
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task The_settings_say_the_same_ports_as_the_container(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        var ports = set.Silo.Ports.ToDictionary(p => p.Name, p => p.ContainerPort);

        Assert.Equal(ports["http"], BindingAddress.Parse(set.Settings["ASPNETCORE_URLS"]).Port);
        Assert.Equal(ports["silo"].ToString(CultureInfo.InvariantCulture), set.Settings["Grid__SiloPort"]);
        Assert.Equal("status.podIP", set.Silo.Env.Single(e => e.Name == "Grid__AdvertisedAddress").ValueFrom.FieldRef.FieldPath);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Probes_ask_for_paths_that_the_host_has(string folder)
    {
        var silo = (await ManifestSet.BuildAsync(folder)).Silo;
        var builder = WebApplication.CreateSlimBuilder();
        builder.Services.AddSingleton<IReadiness, Readiness>();
        await using var app = builder.Build();
        app.MapGridHealth();
        var routes = ((IEndpointRouteBuilder)app).DataSources.SelectMany(s => s.Endpoints).OfType<RouteEndpoint>().Select(e => e.RoutePattern.RawText);

        Assert.Equal("/healthz", silo.StartupProbe.HttpGet.Path);
        Assert.Equal("/readyz", silo.ReadinessProbe.HttpGet.Path);
        Assert.Equal("/healthz", silo.LivenessProbe.HttpGet.Path);
        Assert.Superset(new HashSet<string?> { "/healthz", "/readyz" }, routes.ToHashSet());
        // A check of the stores takes up to 2 s.
        Assert.True(silo.ReadinessProbe.TimeoutSeconds > 2);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task The_silo_port_is_open_to_silos_alone(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        var labels = set.Deployment.Spec.Template.Metadata.Labels;
        var policy = set.Get<V1NetworkPolicy>("grid").Spec;

        Assert.Equal(["Ingress", "Egress"], policy.PolicyTypes);
        Assert.All(policy.Ingress, rule => Assert.All(rule.Ports, port => Assert.Contains(port.Port.Value, Ports(set.Deployment.Spec.Template.Spec))));
        Assert.All(policy.Ingress, rule => Assert.NotEmpty(rule.FromProperty ?? []));
        var silo = Assert.Single(policy.Ingress, rule => rule.Ports.Any(port => port.Port.Value is "silo" or "11111"));
        Assert.All(silo.FromProperty, from => Assert.True(from.NamespaceSelector is null && from.IpBlock is null && Matches(from.PodSelector.MatchLabels, labels)));
        Assert.Contains(policy.Ingress, rule => rule.Ports.Any(port => port.Port.Value == "http"));

        var outward = policy.Egress.SelectMany(rule => rule.Ports).Select(port => $"{port.Protocol} {port.Port.Value}").ToHashSet();
        Assert.Superset(new HashSet<string> { "TCP silo", "TCP 5432", "TCP 6379", "UDP 53", "TCP 53", "TCP 443", "TCP 8443" }, outward);

        // Webhooks go to the internet, not to what is inside or to the cloud's metadata.
        var internet = Assert.Single(policy.Egress.SelectMany(rule => rule.To ?? []), to => to.IpBlock?.Cidr == "0.0.0.0/0").IpBlock;
        Assert.Superset(new HashSet<string> { "10.0.0.0/8", "169.254.0.0/16", "127.0.0.0/8" }, internet.Except.ToHashSet());

        // The cluster's DNS, and the cache that some clusters have on each node.
        var names = Assert.Single(policy.Egress, rule => rule.Ports.Any(port => port.Port.Value == "53"));
        Assert.Contains(names.To, to => to.PodSelector?.MatchLabels?.Contains(KeyValuePair.Create("k8s-app", "kube-dns")) == true);
        Assert.Contains(names.To, to => to.IpBlock?.Cidr == "169.254.20.10/32");
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Webhooks_may_go_to_public_addresses_and_nowhere_else(string folder)
    {
        var policy = (await ManifestSet.BuildAsync(folder)).Get<V1NetworkPolicy>("grid").Spec;
        var outside = Assert.Single(policy.Egress, rule => rule.Ports.Any(port => port.Port.Value == "443"));

        // Where they go by default.
        Assert.Equal(["TCP 443", "TCP 8443"], outside.Ports.Select(port => $"{port.Protocol} {port.Port.Value}"));
        Assert.All(outside.To, to => Assert.True(to is { IpBlock: not null, PodSelector: null, NamespaceSelector: null }));
        foreach (var open in (string[])["1.1.1.1", "203.0.114.1", "2606:4700::1111"]) Assert.True(IsOpen(open), open);
        string[] inside =
        [
            "0.0.0.1", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "224.0.0.1", "255.255.255.255",
            "::1", "64:ff9b::a00:1", "fc00::1", "fe80::1", "ff02::1",
        ];
        foreach (var address in inside) Assert.False(IsOpen(address), address);

        bool IsOpen(string text)
        {
            var address = IPAddress.Parse(text);
            return outside.To.Any(to => Holds(to.IpBlock.Cidr) && !(to.IpBlock.Except ?? []).Any(Holds));

            bool Holds(string range) => IPNetwork.Parse(range) is var network && network.BaseAddress.AddressFamily == address.AddressFamily && network.Contains(address);
        }
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Monitoring_finds_each_silo(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        var silos = set.Get<V1Service>("grid-silos").Spec;

        // Headless: its ports are the pods' own.
        Assert.Equal("None", silos.ClusterIP);
        Assert.Equal(set.Silo.Ports.Select(p => (p.Name, p.ContainerPort)).Order(), silos.Ports.Select(p => (p.TargetPort.Value, p.Port)).Order());
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Disruption_and_scaling_are_about_the_silos(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        var scaler = set.One<V2HorizontalPodAutoscaler>().Spec;

        Assert.Equal((V1Deployment.KubeKind, "apps/v1", set.Deployment.Name()), (scaler.ScaleTargetRef.Kind, scaler.ScaleTargetRef.ApiVersion, scaler.ScaleTargetRef.Name));
        Assert.Null(set.Deployment.Spec.Replicas);
        Assert.True(scaler.MinReplicas >= 3 && scaler.MaxReplicas > scaler.MinReplicas);
        Assert.Equal("1", set.One<V1PodDisruptionBudget>().Spec.MaxUnavailable.Value);

        // Scaling down makes clients reconnect: one silo at a time, and not before the one before it has drained.
        var down = Assert.Single(scaler.Behavior.ScaleDown.Policies);
        Assert.Equal(("Pods", 1), (down.Type, down.Value));
        Assert.True(down.PeriodSeconds > set.Deployment.Spec.Template.Spec.TerminationGracePeriodSeconds);
        Assert.True(scaler.Behavior.ScaleDown.StabilizationWindowSeconds >= 300);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task A_roll_out_adds_before_it_takes(string folder)
    {
        var rolling = (await ManifestSet.BuildAsync(folder)).Deployment.Spec.Strategy.RollingUpdate;

        Assert.Equal(("1", "0"), (rolling.MaxSurge.Value, rolling.MaxUnavailable.Value));
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task A_roll_out_waits_for_a_drain_before_the_next_and_gives_up_after_the_longest_start(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        var (spec, start) = (set.Deployment.Spec, set.Silo.StartupProbe);
        var starts = start.PeriodSeconds * start.FailureThreshold;

        // A silo that starts takes 5 s at least, and the one before it drains all that time.
        Assert.True(spec.MinReadySeconds + 5 >= DeployedOptions.LongestStop(set.Settings).TotalSeconds);
        Assert.True(starts >= 600);
        Assert.True(spec.ProgressDeadlineSeconds > starts + spec.MinReadySeconds);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task The_database_has_connections_for_all_silos_and_two_more(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        const string Given = "Host=postgres";
        var each = ((string[])[PostgresConnectionString.ForLog(Given), PostgresConnectionString.ForStorage(Given), PostgresConnectionString.ForMembership(Given)])
            .Sum(made => new NpgsqlConnectionStringBuilder(made).MaxPoolSize);
        var needed = (set.One<V2HorizontalPodAutoscaler>().Spec.MaxReplicas + 2) * each;

        // What the manifests and the documentation say it is.
        Assert.Equal(28, each);
        if (folder == "overlays/production") Assert.Contains(needed.ToString(CultureInfo.InvariantCulture), Repository.Read("docs/operations.md"), StringComparison.Ordinal);
        foreach (var argument in set.Pods.SelectMany(pod => pod.Spec.Containers).SelectMany(c => c.Args ?? []).Where(a => a.StartsWith("max_connections=", StringComparison.Ordinal)))
            Assert.True(int.Parse(argument.Split('=')[1], CultureInfo.InvariantCulture) > needed, argument);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Pods_may_do_little(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);
        foreach (var (name, _, spec) in set.Pods)
        {
            Assert.True(spec.AutomountServiceAccountToken == false, name);
            Assert.True(spec.SecurityContext is { RunAsNonRoot: true, RunAsUser: > 0, SeccompProfile.Type: "RuntimeDefault" }, name);
            foreach (var container in spec.Containers.Concat(spec.InitContainers ?? []))
            {
                var context = container.SecurityContext;
                Assert.True(context is { AllowPrivilegeEscalation: false, ReadOnlyRootFilesystem: true, Privileged: null }, container.Name);
                Assert.Equal(["ALL"], context.Capabilities.Drop);
                Assert.Null(context.Capabilities.Add);
                Assert.True(container.Resources.Requests.ContainsKey("cpu") && container.Resources.Requests.ContainsKey("memory"), container.Name);
                Assert.True(container.Resources.Limits.ContainsKey("memory"), container.Name);
            }
        }

        Assert.False(set.Get<V1ServiceAccount>(set.Deployment.Spec.Template.Spec.ServiceAccountName).AutomountServiceAccountToken);
        Assert.Contains(set.Silo.VolumeMounts, mount => mount.MountPath == "/tmp");
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public async Task Images_have_a_version(string folder)
    {
        var set = await ManifestSet.BuildAsync(folder);

        Assert.All(set.Pods.SelectMany(pod => pod.Spec.Containers), container => Assert.True(ImageName.IsPinned(container.Image), container.Image));
    }

    [Fact]
    public async Task Redis_asks_for_its_password_and_is_told_to_stop()
    {
        var set = await ManifestSet.BuildAsync("overlays/dev");

        await RedisCommand.VerifyAsync([.. set.Get<V1StatefulSet>("redis").Spec.Template.Spec.Containers.Single().Command]);
    }

    [Fact]
    public async Task The_ingress_keeps_sockets_and_leaves_out_what_is_for_operators()
    {
        var ingress = (await ManifestSet.BuildAsync("overlays/production")).One<V1Ingress>();

        foreach (var timeout in (string[])["proxy-read-timeout", "proxy-send-timeout"])
            Assert.True(int.Parse(ingress.Annotations()["nginx.ingress.kubernetes.io/" + timeout], CultureInfo.InvariantCulture) >= 3600);
        var paths = ingress.Spec.Rules.SelectMany(r => r.Http.Paths).Select(p => p.Path).ToArray();
        Assert.Contains("/v1", paths);
        Assert.DoesNotContain(paths, path => path == "/" || path.StartsWith("/metrics", StringComparison.Ordinal) || path.StartsWith("/dashboard", StringComparison.Ordinal));
    }

    private static bool Matches(IDictionary<string, string>? selector, IDictionary<string, string> labels) =>
        selector is { Count: > 0 } && selector.All(s => labels.TryGetValue(s.Key, out var value) && value == s.Value);

    private static HashSet<string> Ports(V1PodSpec spec) =>
        [.. spec.Containers.SelectMany(c => c.Ports ?? []).SelectMany(p => new[] { p.Name, p.ContainerPort.ToString(CultureInfo.InvariantCulture) })];
}

/// <summary>Names of images.</summary>
internal static class ImageName
{
    /// <summary>Whether it says which version: a tag other than <c>latest</c>, or a digest.</summary>
    public static bool IsPinned(string image)
    {
        if (image.Contains('@', StringComparison.Ordinal)) return true;
        var colon = image.LastIndexOf(':');
        return colon > image.LastIndexOf('/') && image[(colon + 1)..] is { Length: > 0 } tag && tag != "latest";
    }
}

/// <summary>Settings as a deployment gives them, read as the host reads them.</summary>
internal static class DeployedOptions
{
    /// <summary>The options that they make.</summary>
    public static GridOptions Bind(IReadOnlyDictionary<string, string> settings) =>
        Read(settings).GetSection(GridOptions.Section).Get<GridOptions>() ?? new GridOptions();

    /// <summary>How long a host with them may take to stop.</summary>
    public static TimeSpan LongestStop(IReadOnlyDictionary<string, string> settings) =>
        GridSiloBuilderExtensions.LongestStop(Bind(settings), BindWebhooks(settings));

    /// <summary>Fails with what the host would say if it refused them.</summary>
    public static void Verify(IReadOnlyDictionary<string, string> settings)
    {
        var result = new GridOptionsValidator().Validate(null, Bind(settings));
        if (result.Failed) throw new TestFailedException(string.Join('\n', result.Failures));
        var webhooks = new WebhookOptionsValidator().Validate(null, BindWebhooks(settings));
        if (webhooks.Failed) throw new TestFailedException(string.Join('\n', webhooks.Failures));
    }

    private static WebhookOptions BindWebhooks(IReadOnlyDictionary<string, string> settings) =>
        Read(settings).GetSection(WebhookOptions.Section).Get<WebhookOptions>() ?? new WebhookOptions();

    private static IConfigurationRoot Read(IReadOnlyDictionary<string, string> settings) => new ConfigurationBuilder()
        .AddInMemoryCollection(settings.Select(s => KeyValuePair.Create(s.Key.Replace("__", ":", StringComparison.Ordinal), (string?)s.Value))).Build();
}

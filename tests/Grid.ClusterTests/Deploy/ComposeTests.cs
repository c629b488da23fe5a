using System.Globalization;
using System.Text.RegularExpressions;
using Grid.Testing;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;
using YamlDotNet.Serialization;
using Node = System.Collections.Generic.Dictionary<object, object>;

namespace Grid.ClusterTests.Deploy;

/// <summary><c>deploy/compose.yaml</c>: what waits for what, what is published, what a stop may take, and that no secret is in it.</summary>
public sealed partial class ComposeTests
{
    private static readonly string[] Silos = ["silo-1", "silo-2", "silo-3"];
    private static readonly Node File = Load();

    [Fact]
    public void It_has_the_stores_three_silos_and_a_balancer() =>
        Assert.Equal(["balancer", "postgres", "redis", .. Silos], Services().Keys.Cast<string>().Order(StringComparer.Ordinal));

    [Fact]
    public void Every_setting_is_one_that_the_host_knows_and_takes()
    {
        foreach (var silo in Silos)
        {
            var settings = Environment(silo);
            Assert.All(settings.Keys, name => Assert.True(KnownSettings.Contains(name), name));
            DeployedOptions.Verify(settings);
        }
    }

    [Fact]
    public void The_grace_period_covers_the_drain()
    {
        foreach (var silo in Silos)
        {
            var needed = DeployedOptions.LongestStop(Environment(silo)) + TimeSpan.FromSeconds(10);
            Assert.True(Seconds(Service(silo)["stop_grace_period"]) >= needed, silo);
            // The balancer turns away after two checks, a second apart.
            Assert.True(DeployedOptions.Bind(Environment(silo)).DrainNotice >= TimeSpan.FromSeconds(3), silo);
        }
    }

    [Fact]
    public void Everything_starts_when_what_it_needs_is_healthy()
    {
        foreach (var name in Services().Keys.Cast<string>())
        {
            Assert.True(Service(name).ContainsKey("healthcheck"), name);
            if (!Service(name).TryGetValue("depends_on", out var depends)) continue;
            Assert.All((Node)depends, on =>
            {
                Assert.True(Services().ContainsKey(on.Key), $"{name} waits for {on.Key}, which is no service.");
                Assert.Equal("service_healthy", ((Node)on.Value)["condition"]);
            });
        }

        Assert.All(Silos, silo => Assert.Superset(new HashSet<object> { "postgres", "redis" }, ((Node)Service(silo)["depends_on"]).Keys.ToHashSet()));
        Assert.Superset(Silos.ToHashSet<object>(), ((Node)Service("balancer")["depends_on"]).Keys.ToHashSet());
    }

    [Fact]
    public void Silos_are_healthy_when_they_are_ready() =>
        Assert.All(Silos, silo => Assert.Equal(["CMD", "dotnet", "Grid.Host.dll", "healthcheck", "/readyz"], (List<object>)((Node)Service(silo)["healthcheck"])["test"]));

    [Fact]
    public void Only_the_balancer_is_published_and_only_to_this_machine()
    {
        var published = Services().Keys.Cast<string>().Where(name => Service(name).ContainsKey("ports"));

        Assert.Equal(["balancer"], published);
        Assert.Equal(["${GRID_LISTEN:-127.0.0.1:8080}:8080"], (List<object>)Service("balancer")["ports"]);
    }

    [Fact]
    public void Networks_keep_apart_what_need_not_meet()
    {
        var networks = (Node)File["networks"];
        Assert.True(IsInternal("stores") && IsInternal("silos") && !IsInternal("outside"));
        // Webhooks go out; nothing of the silos is published, so nobody comes in that way.
        Assert.All(Silos, silo => Assert.Equal(["stores", "silos", "outside"], (List<object>)Service(silo)["networks"]));
        Assert.Equal(["stores"], (List<object>)Service("postgres")["networks"]);
        Assert.Equal(["stores"], (List<object>)Service("redis")["networks"]);
        Assert.Equal(["edge", "silos"], (List<object>)Service("balancer")["networks"]);

        bool IsInternal(string name) => networks[name] is Node { } network && network.TryGetValue("internal", out var value) && value is "true";
    }

    [Fact]
    public void The_balancer_finds_the_silos_by_the_names_that_they_have()
    {
        var configuration = Repository.Read("deploy/haproxy.cfg");

        Assert.All(Silos, silo => Assert.Contains($"{silo}:{BindingAddressOf(Environment(silo))}", configuration, StringComparison.Ordinal));
        Assert.Equal(["./haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro"], (List<object>)Service("balancer")["volumes"]);
    }

    [Fact]
    public void No_secret_and_no_default_for_one_is_in_it()
    {
        var text = Repository.Read("deploy/compose.yaml");
        var asked = Asked().Matches(text).Select(m => m.Groups[1].Value).Distinct().Order(StringComparer.Ordinal).ToArray();

        Assert.Equal(["GRID_API_KEY", "GRID_POSTGRES_PASSWORD", "GRID_REDIS_PASSWORD"], asked);
        // Each is asked for wherever it is used.
        Assert.All(asked, name => Assert.Equal(Regex.Count(text, $@"\$\{{{name}\b"), Regex.Count(text, $@"\$\{{{name}:\?")));
        // The example names each, without a value.
        var example = Repository.Read("deploy/.env.example").Split('\n');
        Assert.All(asked, name => Assert.Contains($"{name}=", example));
        Assert.Contains("/deploy/.env", Repository.Read(".gitignore").Split('\n'));
    }

    [Fact]
    public Task Redis_asks_for_its_password_and_is_told_to_stop() =>
        RedisCommand.VerifyAsync([.. ((List<object>)Service("redis")["command"]).Select(word => ((string)word).Replace("$$", "$", StringComparison.Ordinal))]);

    [Fact]
    public void Images_have_a_version() =>
        Assert.All(Services().Keys.Cast<string>(), name => Assert.True(ImageName.IsPinned((string)Service(name)["image"]), name));

    [Fact]
    public void Volumes_that_are_used_are_declared()
    {
        var declared = (Node)File["volumes"];
        var named = Services().Keys.Cast<string>().SelectMany(name => Service(name).TryGetValue("volumes", out var list) ? (List<object>)list : [])
            .Select(volume => ((string)volume).Split(':')[0]).Where(source => source[0] is not ('.' or '/'));

        Assert.All(named, name => Assert.True(declared.ContainsKey(name), name));
    }

    [GeneratedRegex(@"\$\{(\w+):\?")]
    private static partial Regex Asked();

    [GeneratedRegex(@"\$\{\w+:-([^}]*)\}")]
    private static partial Regex WithDefault();

    [GeneratedRegex(@"\$\{\w+:\?[^}]*\}")]
    private static partial Regex Required();

    private static Node Load()
    {
        var text = Repository.Read("deploy/compose.yaml");

        // This one refuses a key that is there twice; the next takes what is merged for such.
        new YamlStream().Load(new StringReader(text));
        return new DeserializerBuilder().Build().Deserialize<Node>(new MergingParser(new Parser(new StringReader(text))));
    }

    private static Node Services() => (Node)File["services"];

    private static Node Service(string name) => (Node)Services()[name];

    /// <summary>A service's environment as compose would fill it in.</summary>
    private static Dictionary<string, string> Environment(string service) =>
        ((Node)Service(service)["environment"]).ToDictionary(
            e => (string)e.Key,
            e => Required().Replace(WithDefault().Replace((string)e.Value, "$1"), "a-secret-0123456789"),
            StringComparer.Ordinal);

    // Where the image listens, unless the service says otherwise.
    private static int BindingAddressOf(Dictionary<string, string> settings) =>
        settings.ContainsKey("ASPNETCORE_URLS") ? throw new TestFailedException("ASPNETCORE_URLS is the image's.") : Dockerfile.Load().Port;

    private static TimeSpan Seconds(object value) => value is string text && text.EndsWith('s')
        ? TimeSpan.FromSeconds(int.Parse(text[..^1], CultureInfo.InvariantCulture))
        : throw new TestFailedException($"'{value}' is not in seconds.");
}

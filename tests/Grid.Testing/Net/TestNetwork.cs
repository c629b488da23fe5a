using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using Grid.Testing.Hosting;

namespace Grid.Testing.Net;

/// <summary>
/// A network of its own on this machine: a bridge, and network namespaces whose hosts reach each other, and this process at the
/// bridge's address, over it. Traffic between two of them can be made to vanish without a word, in one direction or both, while all
/// else goes on: the packets leave for a hardware address that nobody has. Linux, as root.
/// </summary>
/// <remarks>
/// All names have a random id in them, held by a locked file: what a killed run left behind is recognised by the lock that nobody
/// holds, and removed when the next network is made.
/// </remarks>
public sealed class TestNetwork : IAsyncDisposable
{
    private const string Nowhere = "02:00:00:00:00:00";
    private const string Prefix = "grid-net-";
    private readonly string _id;
    private readonly FileStream _held;
    private readonly string _subnet;
    private readonly List<HostPlace> _places = [];

    private TestNetwork(string id, FileStream held, string subnet) => (_id, _held, _subnet) = (id, held, subnet);

    /// <summary>The address of this process's side: servers that all are to reach listen there.</summary>
    public IPAddress Bridge => AddressOf(1);

    /// <summary>The places made so far.</summary>
    public IReadOnlyList<HostPlace> Places => _places;

    /// <summary>Makes a network, and removes what runs that were killed left behind.</summary>
    /// <exception cref="TestFailedException">It cannot be made here; the message says what is missing.</exception>
    public static async Task<TestNetwork> CreateAsync()
    {
        if (!OperatingSystem.IsLinux() || Environment.UserName != "root")
        {
            throw new TestFailedException(
                "This test cuts the network between silos and needs network namespaces: run it on Linux as root (or in a container with CAP_NET_ADMIN and CAP_SYS_ADMIN).");
        }

        await RemoveLeftoversAsync().ConfigureAwait(false);
        var id = Random.Shared.Next(0x1000000).ToString("x6", CultureInfo.InvariantCulture);
        var held = new FileStream(HoldOf(id), FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);
        var network = new TestNetwork(id, held, FreeSubnet());
        try
        {
            await IpAsync($"link add {BridgeOf(id)} type bridge").ConfigureAwait(false);
            await IpAsync($"addr add {network.Bridge}/24 dev {BridgeOf(id)}").ConfigureAwait(false);
            await IpAsync($"link set {BridgeOf(id)} up").ConfigureAwait(false);
            return network;
        }
        catch
        {
            await network.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Makes a namespace with an address on the network.</summary>
    public async Task<HostPlace> AddPlaceAsync()
    {
        var number = _places.Count;
        var (name, wire) = (NamespaceOf(_id, number), $"gr{_id}v{number.ToString(CultureInfo.InvariantCulture)}");
        var place = new HostPlace(AddressOf(10 + number), name);
        await IpAsync($"netns add {name}").ConfigureAwait(false);
        _places.Add(place);
        await IpAsync($"link add {wire} type veth peer name e0 netns {name}").ConfigureAwait(false);
        await IpAsync($"link set {wire} master {BridgeOf(_id)} up").ConfigureAwait(false);
        await IpAsync($"-n {name} addr add {place.Address}/24 dev e0").ConfigureAwait(false);
        await IpAsync($"-n {name} link set lo up").ConfigureAwait(false);
        await IpAsync($"-n {name} link set e0 up").ConfigureAwait(false);
        return place;
    }

    /// <summary>Whatever <paramref name="from"/> sends to <paramref name="to"/> vanishes from now on.</summary>
    public static Task CutAsync(HostPlace from, HostPlace to) =>
        IpAsync($"-n {from.Namespace} neigh replace {to.Address} lladdr {Nowhere} nud permanent dev e0");

    /// <summary>Ends <see cref="CutAsync"/>.</summary>
    public static Task HealAsync(HostPlace from, HostPlace to) => IpAsync($"-n {from.Namespace} neigh del {to.Address} dev e0");

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await RemoveAsync(_id).ConfigureAwait(false);
        await _held.DisposeAsync().ConfigureAwait(false);
        File.Delete(HoldOf(_id));
    }

    private static string BridgeOf(string id) => $"gr{id}b";

    private static string NamespaceOf(string id, int number) => $"{Prefix}{id}-{number.ToString(CultureInfo.InvariantCulture)}";

    private static string HoldOf(string id) => Path.Combine(Path.GetTempPath(), $"{Prefix}{id}.lock");

    private IPAddress AddressOf(int last) => IPAddress.Parse($"{_subnet}.{last.ToString(CultureInfo.InvariantCulture)}");

    private static string FreeSubnet()
    {
        var taken = NetworkInterface.GetAllNetworkInterfaces()
            .SelectMany(i => i.GetIPProperties().UnicastAddresses).Select(a => a.Address.ToString()).ToList();
        while (true)
        {
            var subnet = string.Create(CultureInfo.InvariantCulture, $"10.{Random.Shared.Next(200, 250)}.{Random.Shared.Next(256)}");
            if (!taken.Exists(a => a.StartsWith(subnet + ".", StringComparison.Ordinal))) return subnet;
        }
    }

    private static async Task RemoveLeftoversAsync()
    {
        foreach (var path in Directory.EnumerateFiles(Path.GetTempPath(), Prefix + "*.lock"))
        {
            try
            {
                await using var held = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
                await RemoveAsync(Path.GetFileNameWithoutExtension(path)[Prefix.Length..]).ConfigureAwait(false);
                File.Delete(path);
            }
            catch (IOException)
            {
                // Somebody holds it, or was faster.
            }
        }
    }

    private static async Task RemoveAsync(string id)
    {
        // The wires first: those whose namespace is removed go only some time later.
        foreach (var name in NetworkInterface.GetAllNetworkInterfaces().Select(i => i.Name).Where(n => n.StartsWith($"gr{id}", StringComparison.Ordinal)))
            await IpAsync($"link del {name}").ConfigureAwait(false);
        foreach (var line in (await IpAsync("netns list").ConfigureAwait(false)).Split('\n'))
        {
            var name = line.Split(' ')[0];
            if (name.StartsWith($"{Prefix}{id}-", StringComparison.Ordinal)) await IpAsync($"netns del {name}").ConfigureAwait(false);
        }
    }

    private static async Task<string> IpAsync(string arguments)
    {
        using var ip = await ProcessStarter.StartAsync(new ProcessStartInfo("ip", arguments.Split(' '))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        }).ConfigureAwait(false);
        using var deadline = TestDeadline.In(30);
        var error = ip.StandardError.ReadToEndAsync(deadline.Token);
        var output = await ip.StandardOutput.ReadToEndAsync(deadline.Token).ConfigureAwait(false);
        await ip.WaitForExitAsync(deadline.Token).ConfigureAwait(false);
        return ip.ExitCode == 0 ? output : throw new TestFailedException($"'ip {arguments}' ended with {ip.ExitCode}: {await error.ConfigureAwait(false)}");
    }
}

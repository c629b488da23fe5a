namespace Grid.Host;

/// <summary>
/// <c>healthcheck [path]</c>: asks the Grid that runs in this container (or on this machine, with these settings) how it is, and exits
/// with 0 if it answers 200. For images that have neither a shell nor curl.
/// </summary>
internal static class HealthCommand
{
    /// <summary>The command's name: the first argument.</summary>
    public const string Name = "healthcheck";

    private const string DefaultPath = "/healthz";
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(4);

    /// <summary>Asks once; returns the process's exit code: 0 for 200, else 1, and the reason on standard error.</summary>
    /// <param name="args">The path, by default <c>/healthz</c>; then, as when starting, <c>--urls</c> and other settings.</param>
    public static async Task<int> RunAsync(string[] args)
    {
        var (path, settings) = args is [['/', ..] given, .. var rest] ? (given, rest) : (DefaultPath, args);
        var configuration = new ConfigurationBuilder()
            .AddEnvironmentVariables("ASPNETCORE_").AddEnvironmentVariables().AddCommandLine(settings).Build();
        var url = configuration[WebHostDefaults.ServerUrlsKey];
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = Timeout };
        try
        {
            url = Address(url) + path;
            using var answer = await http.GetAsync(new Uri(url));
            if (answer.IsSuccessStatusCode) return 0;
            await Console.Error.WriteLineAsync($"{url} says {(int)answer.StatusCode}: {await answer.Content.ReadAsStringAsync()}");
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or FormatException)
        {
            await Console.Error.WriteLineAsync($"{url} does not answer: {e.Message}");
        }

        return 1;
    }

    /// <summary>Where a process that listens on <paramref name="urls"/> is reached from the same machine.</summary>
    public static string Address(string? urls)
    {
        var all = (urls is { Length: > 0 } ? urls : HostRunner.DefaultUrl)
            .Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

        // A certificate is made for a name of the outside, so plain http is asked where there is any.
        var url = all.FirstOrDefault(u => u.StartsWith("http://", StringComparison.OrdinalIgnoreCase)) ?? all[0];
        var address = BindingAddress.Parse(url);
        var host = address.Host is "*" or "+" or "0.0.0.0" or "[::]" ? "127.0.0.1" : address.Host;
        return $"{address.Scheme}://{host}:{address.Port}";
    }
}

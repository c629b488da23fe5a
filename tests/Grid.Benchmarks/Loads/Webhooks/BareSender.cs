using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>
/// What webhooks are measured against: a process in which so many workers each post one request after the other by one
/// <see cref="HttpClient"/>, with the headers and a body of the size that Grid's deliveries have, and a signature of each if wanted. It
/// stores nothing, has no order, no turns and no attempts.
/// </summary>
internal sealed class BareSender : IDisposable
{
    /// <summary>The verb of the process; not for people.</summary>
    public const string Verb = "post";

    private readonly ChildProcess _process;

    private BareSender(ChildProcess process) => _process = process;

    /// <summary>What it used.</summary>
    public ServerUsage Usage() => ServerUsage.Of("httpclient", _process.Id);

    /// <summary>Starts it; it sends when <see cref="Tally.Workers"/> says so.</summary>
    public static BareSender Start(HookReceiver receiver, int workers, int hosts, int size, bool signed)
    {
        var environment = new Dictionary<string, string>(DotNetSettings.Environment)
        {
            // As Grid.Host has it.
            ["DOTNET_gcConcurrent"] = "1", ["DOTNET_ThreadPool_UnfairSemaphoreSpinLimit"] = "0",
        };
        var urls = string.Join(' ', Enumerable.Range(0, hosts).Select(i => receiver.Url(0, i, HookPath.Healthy)));
        return new BareSender(ChildProcess.Start(
            "dotnet",
            [
                typeof(BareSender).Assembly.Location, Verb, receiver.File, urls, workers.ToString(CultureInfo.InvariantCulture),
                size.ToString(CultureInfo.InvariantCulture), signed ? "signed" : "unsigned",
            ],
            environment,
            Path.GetTempPath()));
    }

    /// <summary>Ends the run when it ended.</summary>
    public void ThrowOnFault()
    {
        if (_process.Ending is { } ending) throw new BenchmarkException("The HttpClient loop " + ending);
    }

    public void Dispose() => _process.Dispose();

    /// <summary>The process: sends while it is to, until it is killed.</summary>
    public static void Run(string[] arguments)
    {
        if (arguments is not [_, var file, var urls, var workers, var size, var signed]) throw new BenchmarkException("post FILE URLS WORKERS SIZE signed|unsigned");
        using var tally = Tally.Open(file);
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, UseCookies = false });
        Uri[] targets = [.. urls.Split(' ').Select(u => new Uri(u))];
        var data = Encoding.ASCII.GetString(Stamp.Payload(int.Parse(size, CultureInfo.InvariantCulture), 1));
        var body = Encoding.UTF8.GetBytes($$"""{"type":"grid.message","timestamp":"2026-01-01T00:00:00.000Z","data":{{data}}}""");
        var all = Enumerable.Range(0, int.Parse(workers, CultureInfo.InvariantCulture)).Select(i => Task.Run(
            () => new Worker(http, tally, i, targets[i % targets.Length], body, signed == "signed").WorkAsync())).ToArray();
        while (true)
        {
            Volatile.Write(ref tally.Allocated, GC.GetTotalAllocatedBytes());
            if (Task.WaitAny(all, 10) >= 0) throw new BenchmarkException("A worker ended: " + all.First(t => t.IsCompleted).Exception?.GetBaseException().Message);
        }
    }

    private sealed class Worker(HttpClient http, Tally tally, int index, Uri url, byte[] body, bool signed)
    {
        private static readonly ProductInfoHeaderValue Agent = new("Bare-Loop", "1.0");
        private static readonly MediaTypeHeaderValue Json = new("application/json");
        private readonly byte[] _key = RandomNumberGenerator.GetBytes(32);
        private long _count;

        public async Task WorkAsync()
        {
            while (true)
            {
                if (Volatile.Read(ref tally.Workers) <= index)
                {
                    await Task.Delay(5);
                    continue;
                }

                using var request = Request();
                using var response = await http.SendAsync(request);
                response.EnsureSuccessStatusCode();
            }
        }

        private HttpRequestMessage Request()
        {
            var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = new ReadOnlyMemoryContent(body) };
            request.Content.Headers.ContentType = Json;
            var number = (++_count).ToString(CultureInfo.InvariantCulture);
            var id = "msg_EGFiY2RlZmdoaWprbG1ub3ABaG9vazow" + number;
            var timestamp = DateTimeOffset.UtcNow.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture);
            request.Headers.TryAddWithoutValidation("webhook-id", id);
            request.Headers.TryAddWithoutValidation("webhook-timestamp", timestamp);
            request.Headers.TryAddWithoutValidation("webhook-signature", signed ? Sign(id, timestamp) : new string('x', 47));
            request.Headers.TryAddWithoutValidation("grid-channel", "hook:0");
            request.Headers.TryAddWithoutValidation("grid-offset", number);
            request.Headers.TryAddWithoutValidation("grid-attempt", "1");
            request.Headers.UserAgent.Add(Agent);
            return request;
        }

        private string Sign(string id, string timestamp)
        {
            using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, _key);
            hmac.AppendData(Encoding.ASCII.GetBytes($"{id}.{timestamp}."));
            hmac.AppendData(body);
            return "v1," + Convert.ToBase64String(hmac.GetHashAndReset());
        }
    }
}

using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Servers;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>Makes and steers subscriptions, by the HTTP API.</summary>
internal sealed class HookApi : IDisposable
{
    private const int AtOnce = 32;

    private readonly HttpClient _http;

    public HookApi(IGridServer server)
    {
        _http = new HttpClient { BaseAddress = new Uri($"http://{server.AddressOf(0)}"), Timeout = TimeSpan.FromMinutes(2) };
        _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", server.ApiKey);
    }

    /// <summary>Makes subscriptions, some at a time; their ids.</summary>
    public string[] Create(IReadOnlyList<object> subscriptions)
    {
        var ids = new string[subscriptions.Count];
        Each(subscriptions.Count, async (i, stop) =>
        {
            using var answer = await PostAsync("/v1/webhooks", subscriptions[i], stop);
            ids[i] = answer.RootElement.GetProperty("id").GetString()!;
        });
        return ids;
    }

    /// <summary>Does something to each: <c>pause</c>, <c>resume</c>.</summary>
    public void Each(IReadOnlyList<string> ids, string operation) => Each(ids.Count, async (i, stop) =>
    {
        using var answer = await PostAsync($"/v1/webhooks/{ids[i]}/{operation}", new { }, stop);
    });

    /// <summary>What one tells of itself.</summary>
    public JsonElement Get(string id) => _http.GetFromJsonAsync<JsonElement>($"/v1/webhooks/{id}").GetAwaiter().GetResult();

    public void Dispose() => _http.Dispose();

    private static void Each(int count, Func<int, CancellationToken, Task> act) => Parallel.ForEachAsync(
        Enumerable.Range(0, count), new ParallelOptions { MaxDegreeOfParallelism = AtOnce }, (i, stop) => new ValueTask(act(i, stop)))
        .GetAwaiter().GetResult();

    private async Task<JsonDocument> PostAsync(string path, object body, CancellationToken stop)
    {
        using var response = await _http.PostAsJsonAsync(path, body, stop);
        var text = await response.Content.ReadAsStringAsync(stop);
        if (!response.IsSuccessStatusCode) throw new BenchmarkException($"{path}: {(int)response.StatusCode} {text}");
        return JsonDocument.Parse(text);
    }
}

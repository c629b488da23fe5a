using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Webhooks;

namespace Grid.IntegrationTests.Webhooks;

/// <summary>A subscription that a test made.</summary>
/// <param name="Http">By whom.</param>
/// <param name="Id">Its id.</param>
/// <param name="Secret">Its secret.</param>
public sealed record Hook(GridHttp Http, string Id, string Secret)
{
    /// <summary>Its path, with more.</summary>
    public string Path(string rest = "") => $"/v1/webhooks/{Id}{rest}";

    /// <summary>It as it is now.</summary>
    public async Task<JsonElement> GetAsync() => (await Http.GetAsync(Path())).Ok().Json;

    /// <summary>Does something with it.</summary>
    public async Task<HttpAnswer> DoAsync(string action, string body = "") => (await Http.PostAsync(Path("/" + action), body)).Ok();

    /// <summary>Its attempts, newest first.</summary>
    public async Task<IReadOnlyList<JsonElement>> AttemptsAsync(string query = "?limit=200") =>
        [.. (await Http.GetAsync(Path("/attempts" + query))).Ok().Json.GetProperty("attempts").EnumerateArray()];

    /// <summary>Its dead letters, newest first.</summary>
    public async Task<IReadOnlyList<JsonElement>> DeadLettersAsync() =>
        [.. (await Http.GetAsync(Path("/dead-letters?limit=200"))).Ok().Json.GetProperty("deadLetters").EnumerateArray()];

    /// <summary>Waits until it is in a state.</summary>
    public async Task<JsonElement> UntilAsync(Func<JsonElement, bool> condition, string what)
    {
        using var deadline = TestDeadline.In(30);
        JsonElement seen = default;
        await deadline.UntilAsync(
            async () =>
            {
                seen = await GetAsync();
                return condition(seen);
            },
            () => $"{what}: {seen}");
        return seen;
    }

    /// <summary>Waits until everything is settled.</summary>
    public Task<JsonElement> SettledAsync() =>
        UntilAsync(w => w.GetProperty("lag").GetProperty("messages").GetInt64() == 0 && w.GetProperty("inFlight").GetInt32() == 0, "settled");
}

/// <summary>
/// A test of webhooks on the host that all share, with a receiver of its own. Whatever it did, the host must be alive after it and must
/// not have logged an error.
/// </summary>
[Collection(WebhookCollection.Name)]
public abstract class WebhookTest(WebhookHost host) : IAsyncLifetime
{
    private readonly List<Hook> _hooks = [];
    private int _errorsBefore;

    protected WebhookHost Host => host;

    protected GridHttp Http => host.Http;

    protected WebhookReceiver Receiver { get; } = new();

    protected WebhookInbox Inbox => Receiver.Inbox;

    public Task InitializeAsync()
    {
        _errorsBefore = host.Process.Output.Errors.Count;
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        foreach (var hook in _hooks) await hook.Http.SendAsync(HttpMethod.Delete, hook.Path());
        await Receiver.DisposeAsync();
        Assert.True(host.Process.IsRunning, host.Process.Output.Tail());
        var errors = host.Process.Output.Errors.Skip(_errorsBefore).ToList();
        Assert.True(errors.Count == 0, $"The host logged errors: {string.Join('\n', errors)}\n{host.Process.Output.Tail(40)}");
    }

    protected static string NewChannel(string ns = "hook") => WebhookHost.NewChannel(ns);

    /// <summary>Makes a subscription of one pattern.</summary>
    /// <param name="pattern">The pattern.</param>
    /// <param name="inbox">Where to; null: this test's.</param>
    /// <param name="more">More members of the body.</param>
    /// <param name="http">By whom; null: the tenant <c>default</c>.</param>
    protected Task<Hook> CreateAsync(string pattern, WebhookInbox? inbox = null, string more = "", GridHttp? http = null) => MakeAsync(
        $$"""{"url":"{{(inbox ?? Inbox).Url}}","channels":["{{pattern}}"]{{(more.Length > 0 ? "," : "")}}{{more}}}""", http);

    /// <summary>Makes one that is polled.</summary>
    protected Task<Hook> CreatePolledAsync(string pattern, string more = "") =>
        MakeAsync($$"""{"channels":["{{pattern}}"]{{(more.Length > 0 ? "," : "")}}{{more}}}""", null);

    /// <summary>Publishes payloads, and returns the epoch.</summary>
    protected async Task<string> PublishAsync(string channel, int from, int to, string? name = null, GridHttp? http = null)
    {
        var items = Enumerable.Range(from, to - from + 1).Select(i =>
        {
            var item = new JsonObject { ["data"] = i };
            if (name is not null) item["event"] = name;
            return item.ToJsonString();
        });
        var answer = (await (http ?? Http).PostAsync(GridHttp.ChannelPath(channel, "/messages"), $"[{string.Join(',', items)}]")).Ok();
        return answer.Json[0].GetProperty("epoch").GetString()!;
    }

    /// <summary>Publishes one message.</summary>
    protected Task<string> PublishAsync(string channel, string? name = null) => PublishAsync(channel, 1, 1, name);

    /// <summary>Asserts that an answer is a problem.</summary>
    protected static HttpAnswer AssertProblem(HttpAnswer answer, HttpStatusCode status, string code)
    {
        Assert.True(answer.Status == status, $"expected {(int)status} {code}, got {(int)answer.Status} {answer.Text}");
        Assert.Equal("application/problem+json", answer.ContentType);
        Assert.Equal(code, answer.Json.GetProperty("code").GetString());
        Assert.False(string.IsNullOrWhiteSpace(answer.Json.GetProperty("detail").GetString()));
        return answer;
    }

    private async Task<Hook> MakeAsync(string body, GridHttp? http)
    {
        var answer = await (http ?? Http).PostAsync("/v1/webhooks", body);
        Assert.True(answer.Status == HttpStatusCode.Created, $"{answer.Status} {answer.Text}");
        var hook = new Hook(http ?? Http, answer.Json.GetProperty("id").GetString()!, answer.Json.GetProperty("secret").GetString()!);
        _hooks.Add(hook);
        return hook;
    }
}

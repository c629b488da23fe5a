using System.Globalization;
using System.Text.Json;
using Grid.ClusterTests.Cluster;
using Grid.Server.Hosting;
using Grid.Server.Log.Postgres;
using Grid.Server.Webhooks.Store;
using Grid.Server.Webhooks.Store.Postgres;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Webhooks;
using Microsoft.Extensions.Logging.Abstractions;

namespace Grid.ClusterTests.Webhooks;

/// <summary>Subscriptions on a cluster, one receiver for all of them, and the channels that they get: one by its name, others by their prefix.</summary>
/// <param name="cluster">The cluster.</param>
/// <param name="name">The name of a channel; those whose names begin with it and a colon belong to the scene too.</param>
internal sealed class WebhookScene(TestCluster cluster, string name) : IAsyncDisposable
{
    // One for each: what waits for its answer at one must not hold up others.
    private readonly List<WebhookReceiver> _receivers = [];
    private readonly List<Hook> _hooks = [];
    private readonly SortedDictionary<string, (long First, long Last)> _channels = new(StringComparer.Ordinal);

    public IReadOnlyList<Hook> Hooks => _hooks;

    /// <summary>How many messages each subscription is to get.</summary>
    public int Messages => (int)_channels.Values.Sum(c => c.Last - c.First + 1);

    /// <summary>Publishes one message to the channel with the scene's name, before there are subscriptions: none of them is to get it.</summary>
    public async Task PublishBeforeAsync(TestSilo silo)
    {
        using var http = silo.Http();
        var before = await http.PublishAsync(name, "\"before\"");
        _channels.Add(name, (before.Offset + 1, before.Offset));
    }

    /// <summary>Makes a subscription through a silo.</summary>
    public async Task<Hook> AddAsync(TestSilo silo, string mode)
    {
        _receivers.Add(new WebhookReceiver());
        var inbox = _receivers[^1].Inbox;
        using var http = silo.Http();
        var made = (await http.PostAsync("/v1/webhooks", JsonSerializer.Serialize(new
        {
            url = inbox.Url, mode, channels = (string[])[name, $"{name}:*"], headers = new Dictionary<string, string> { [Hook.HeaderName] = Hook.HeaderValue },
        }))).Ok().Json;
        var hook = new Hook(made.GetProperty("id").GetString()!, made.GetProperty("secret").GetString()!, mode, inbox);
        _hooks.Add(hook);
        return hook;
    }

    /// <summary>
    /// Makes subscriptions of every mode, through all silos, until one silo has some of each.
    /// </summary>
    public async Task AddUntilOneSiloHasAllModesAsync()
    {
        string[] modes = ["parallel", "keyed", "ordered"];
        await using var eye = await GrainEye.OpenAsync(cluster);
        while (true)
        {
            // Not the same mode for the same silo with each round, should silos be chosen by turns.
            var mode = modes[(_hooks.Count + (_hooks.Count / modes.Length)) % modes.Length];
            var hook = await AddAsync(cluster.Silos[_hooks.Count % 3], mode);
            hook.Home = await eye.SiloOfWebhookAsync(hook.Id);
            if (_hooks.GroupBy(h => h.Home).Any(g => ModesOf(g) == modes.Length)) return;
        }
    }

    /// <summary>Finds out where the subscriptions are; the silo that has those of most modes.</summary>
    public async Task<TestSilo> FindHomesAsync()
    {
        await using var eye = await GrainEye.OpenAsync(cluster);
        foreach (var hook in _hooks) hook.Home = await eye.SiloOfWebhookAsync(hook.Id);
        return _hooks.GroupBy(h => h.Home!).MaxBy(ModesOf)!.Key;
    }

    /// <summary>Publishes by turns to the channel of the scene's name and to three that did not exist before.</summary>
    public async Task PublishAsync(TestSilo silo, int rounds, int each)
    {
        using var http = silo.Http();
        for (var round = 0; round < rounds; round++)
        {
            foreach (var channel in (string[])[name, $"{name}:a", $"{name}:b", $"{name}:c"]) await PublishAsync(http, channel, round, each);
        }
    }

    /// <summary>Waits until every subscription got every message and has nothing more to do, and judges what came.</summary>
    public async Task JudgeAsync(TestSilo silo, TestDeadline deadline)
    {
        foreach (var hook in _hooks) await hook.Inbox.DistinctAsync(Messages, deadline);
        using var http = silo.Http();
        foreach (var hook in _hooks)
        {
            var state = default(JsonElement);
            await deadline.UntilAsync(
                async () =>
                {
                    var answer = await http.GetAsync($"/v1/webhooks/{hook.Id}");
                    if (answer.Status != System.Net.HttpStatusCode.OK) return false;
                    state = answer.Json;
                    return state.GetProperty("lag").GetProperty("messages").GetInt64() == 0 && state.GetProperty("inFlight").GetInt32() == 0;
                },
                () => $"{hook} is done: {state}");
            hook.Judge(_channels);
        }
    }

    /// <summary>Notes for each subscription what had come so far, and what the store knows of its progress.</summary>
    public async Task MarkAsync()
    {
        foreach (var hook in _hooks) hook.CameBefore = hook.Inbox.Requests is [.., var last] ? last.Number : 0;
        await using var database = new PostgresDatabase(new GridClusterOptions { Postgres = cluster.ConnectionString }, NullLoggerFactory.Instance);
        var store = new PostgresWebhookStore(database);
        foreach (var hook in _hooks) hook.Stored = await store.ReadProgressAsync(new WebhookId("default", hook.Id));
    }

    /// <summary>What came, by subscription.</summary>
    public string Describe() => string.Join('\n', _hooks.Select(h => string.Create(CultureInfo.InvariantCulture, $"{h}, {h.Repeats} repeats")));

    public async ValueTask DisposeAsync()
    {
        // Later tests' messages are nothing to them.
        using var http = cluster.Running[0].Http();
        foreach (var hook in _hooks) await http.SendAsync(HttpMethod.Delete, $"/v1/webhooks/{hook.Id}");
        foreach (var hook in _hooks) hook.Release();
        foreach (var receiver in _receivers) await receiver.DisposeAsync();
        foreach (var hook in _hooks) hook.Dispose();
    }

    private static int ModesOf(IEnumerable<Hook> hooks) => hooks.Select(h => h.Mode).Distinct().Count();

    private async Task PublishAsync(GridHttp http, string channel, int round, int count)
    {
        var messages = Enumerable.Range(0, count).Select(i => new { data = $"{round}-{i}", key = $"{channel}-{round}-{i}" });
        var answer = (await http.PostAsync(GridHttp.ChannelPath(channel, "/messages"), JsonSerializer.Serialize(messages))).Ok().Json;
        var last = answer.EnumerateArray().Last().GetProperty("offset").GetInt64();
        _channels[channel] = (_channels.TryGetValue(channel, out var known) ? known.First : 1, last);
    }
}

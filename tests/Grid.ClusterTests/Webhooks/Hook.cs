using System.Collections.Concurrent;
using System.Globalization;
using Grid.ClusterTests.Cluster;
using Grid.Server.Webhooks.Delivery;
using Grid.Testing;
using Grid.Testing.Webhooks;

namespace Grid.ClusterTests.Webhooks;

/// <summary>A subscription of a test, and what came for it.</summary>
internal sealed class Hook(string id, string secret, string mode, WebhookInbox inbox) : IDisposable
{
    /// <summary>A header that is sent along, of which the value is a secret too.</summary>
    public const string HeaderName = "x-token";

    public const string HeaderValue = "sesame";

    private readonly ConcurrentDictionary<string, int> _waiting = new();
    private readonly ConcurrentQueue<string> _oddities = new();
    private readonly SemaphoreSlim _answers = new(0);

    public string Id => id;

    /// <summary>As the answer to its creation showed it.</summary>
    public string Secret => secret;

    public string Mode => mode;

    public WebhookInbox Inbox => inbox;

    /// <summary>The silo that has it, as far as is known.</summary>
    public TestSilo? Home { get; set; }

    /// <summary>Its progress as the store had it at some moment of the test; null: it had none.</summary>
    public WebhookSnapshot? Stored { get; set; }

    /// <summary>How many requests had come when the fault began.</summary>
    public int CameBefore { get; set; }

    /// <summary>How many requests came for messages that had come already.</summary>
    public int Repeats => Inbox.Requests.Count - Inbox.Distinct;

    /// <summary>Whether a silo was killed: what it had on its way may come again while it is not known to be gone.</summary>
    public bool MayOverlap { get; set; }

    /// <summary>Answers no request from now on but as many as are allowed, the others wait.</summary>
    public void Hold()
    {
        inbox.Answer = async exchange =>
        {
            var lane = mode == "ordered" ? "all" : exchange.Request.Channel;
            if (_waiting.AddOrUpdate(lane, 1, static (_, n) => n + 1) > 1 && mode != "parallel" && !MayOverlap)
                _oddities.Enqueue($"{exchange.Request} came beside another one");
            try
            {
                await _answers.WaitAsync(exchange.Connection.Stop);
            }
            finally
            {
                // Before the answer, which the next request may follow at once.
                _waiting.AddOrUpdate(lane, 0, static (_, n) => n - 1);
            }

            await Answers.NoContent(exchange);
        };
    }

    /// <summary>Answers so many requests more.</summary>
    public void Allow(int count) => _answers.Release(count);

    /// <summary>Answers all that waits and all that comes.</summary>
    public void Release() => Allow(1_000_000);

    /// <summary>Checks everything that came against what is stored of the channels.</summary>
    /// <param name="expected">The first and the last offset of each channel that it should have got.</param>
    public void Judge(IReadOnlyDictionary<string, (long First, long Last)> expected)
    {
        var requests = Inbox.Requests;
        var faults = new List<string>(_oddities);
        var ids = new Dictionary<(string, long), string>();
        var repeated = new HashSet<string>();
        var reached = expected.ToDictionary(e => e.Key, e => e.Value.First - 1);
        foreach (var (request, place) in requests.Select(r => (r, (r.Channel, r.Offset))))
        {
            if (request.Header(HeaderName) != HeaderValue) faults.Add($"{request} came without its header");
            if (!request.IsSignedBy(secret)) faults.Add($"{request} is not signed by its secret");
            if (!expected.TryGetValue(place.Channel, out var span) || place.Offset < span.First || place.Offset > span.Last) faults.Add($"{request} was not to come");
            if (ids.TryGetValue(place, out var first))
            {
                if (first != request.Id) faults.Add($"{request} had the id {first} before");
                if (!repeated.Add(request.Id)) faults.Add($"{request} came more than twice");
                if (request.Number > CameBefore && IsStored(place.Channel, place.Offset)) faults.Add($"{request} came again, although the store knew that it was delivered");
                continue;
            }

            ids.Add(place, request.Id);
            if (mode == "parallel" || faults.Count > 0) continue;

            // Repeats aside, each channel comes in order without a hole.
            if (place.Offset != reached[place.Channel] + 1) faults.Add($"{request} came after offset {reached[place.Channel]}");
            reached[place.Channel] = place.Offset;
        }

        foreach (var (channel, (first, last)) in expected)
        {
            for (var offset = first; offset <= last; offset++)
            {
                if (!ids.ContainsKey((channel, offset))) faults.Add($"{channel}/{offset} never came");
            }
        }

        if (ids.Values.Distinct().Count() != ids.Count) faults.Add("two messages had one id");
        if (faults.Count > 0) throw new TestFailedException($"{this}:\n{string.Join('\n', faults.Take(20))}\n{inbox.Describe()}");
    }

    public void Dispose() => _answers.Dispose();

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture, $"{mode} {id}: {Inbox.Count} requests for {Inbox.Distinct} messages, {SettledInStore} of them stored as delivered at the fault");

    /// <summary>How many messages <see cref="Stored"/> has as delivered.</summary>
    public long SettledInStore => Inbox.Requests.Select(r => (r.Channel, r.Offset)).Distinct().Count(p => IsStored(p.Channel, p.Offset));

    private bool IsStored(string channel, long offset) =>
        Stored?.Channels.FirstOrDefault(c => c.Channel == channel) is { } progress
        && (offset <= progress.Floor.Offset || progress.Ranges.Any(r => r.From <= offset && offset <= r.To));
}

using System.Globalization;
using System.Reflection;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Tenancy;
using Grid.Server.Webhooks;
using Grid.Server.Webhooks.Store;
using Message = Grid.Protocol.Message;

namespace Grid.UnitTests.Webhooks.Api;

/// <summary>Implements an interface by one function over its calls. What the function does not answer fails the test.</summary>
public class Answering : DispatchProxy
{
    private Func<string, object?[], object?> _answer = null!;

    /// <summary>Makes one; the function gets the method's name and arguments.</summary>
    public static T Make<T>(Func<string, object?[], object?> answer)
        where T : class
    {
        var made = Create<T, Answering>();
        ((Answering)(object)made)._answer = answer;
        return made;
    }

    /// <summary>Makes one that is not to be called.</summary>
    public static T Silent<T>()
        where T : class => Make<T>(static (method, _) => throw new InvalidOperationException($"{method} is not expected."));

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => _answer(targetMethod!.Name, args ?? []);
}

/// <summary>Credentials of two tenants.</summary>
internal sealed class FakeAuthenticator : IAuthenticator
{
    /// <summary>May do everything in the tenant acme.</summary>
    public const string Key = "acme-key";

    /// <summary>May do everything in another tenant.</summary>
    public const string OtherTenant = "other-key";

    /// <summary>May subscribe to acme's rooms, but not read their past.</summary>
    public const string Rooms = "rooms-key";

    /// <summary>A client's token.</summary>
    public const string Client = "client-token";

    public ValueTask<Caller?> AuthenticateAsync(string credential, CancellationToken cancellationToken = default) => new(credential switch
    {
        Key => new Caller { Tenant = "acme", Capabilities = Capabilities.Everything },
        OtherTenant => new Caller { Tenant = "other", Capabilities = Capabilities.Everything },
        Rooms => new Caller { Tenant = "acme", Capabilities = new([new("room:*", Capability.Subscribe)]) },
        Client => new Caller { Tenant = "acme", User = "ana", Capabilities = Capabilities.Everything },
        _ => null,
    });

    public ValueTask<(string Token, DateTimeOffset ExpiresAt)> MintAsync(
        string tenant, string user, Capabilities capabilities, TimeSpan lifetime, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
}

/// <summary>The subscriptions that there are, and every call that was made to one, as <c>tenant/id Method(arguments)</c>.</summary>
internal sealed class FakeWebhooks
{
    private readonly Lock _lock = new();

    public Dictionary<string, WebhookDescription> Existing { get; } = [];

    public List<string> Calls { get; } = [];

    /// <summary>The arguments of the last call.</summary>
    public object?[] Arguments { get; private set; } = [];

    /// <summary>What calls answer, by method; those not named answer as if all is well.</summary>
    public Dictionary<string, Func<object?[], object?>> Answers { get; } = [];

    /// <summary>Whether the tenant may have more.</summary>
    public bool Full { get; set; }

    /// <summary>The calls but for those that only look.</summary>
    public IEnumerable<string> Deeds
    {
        get
        {
            lock (_lock) return [.. Calls.Where(c => !c.EndsWith(" GetAsync", StringComparison.Ordinal)).Select(c => c[(c.LastIndexOf(' ') + 1)..])];
        }
    }

    public IGrainFactory Grains => Answering.Make<IGrainFactory>((method, arguments) =>
        method == "GetGrain" && arguments is [string key, ..] ? Grain(key) : throw new InvalidOperationException(method));

    public IWebhookStore Store => Answering.Make<IWebhookStore>((method, arguments) => method == "ListAsync"
        ? new ValueTask<IReadOnlyList<StoredWebhook>>(List((string)arguments[0]!, (string)arguments[1]!, (int)arguments[2]!))
        : throw new InvalidOperationException(method));

    public static WebhookDescription Describe(string id, WebhookDefinition? definition = null) => new()
    {
        Id = id,
        Definition = definition ?? new WebhookDefinition { Url = "https://example.com/hooks", Channels = ["orders", "room:*"] },
        CreatedAt = new DateTimeOffset(2026, 1, 1, 12, 0, 0, TimeSpan.Zero),
        Status = "active",
        Cursors = [],
    };

    /// <summary>The id of <see cref="Attempt"/>.</summary>
    public static string AttemptIdOf(int number) => $"att_{number * 1000:x12}{number:x8}0000002a";

    /// <summary>The number of the attempt with an id.</summary>
    public static int NumberOfAttempt(string id) => int.Parse(id.AsSpan(16, 8), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    /// <summary>The place of <see cref="DeadLetter"/>.</summary>
    public static string PlaceOf(int number) => WebhookViews.ToText(new StoredPlace(number * 1000, $"msg_{number}"));

    /// <summary>The number of the dead letter at a place.</summary>
    public static int NumberOfPlace(string place) => int.Parse(place[(place.IndexOf('_', StringComparison.Ordinal) + 1)..], CultureInfo.InvariantCulture);

    public static WebhookDeadLetter DeadLetter(int number) => new()
    {
        MessageId = $"msg_{number}",
        Channel = "orders",
        Epoch = "e1",
        Offset = number,
        Attempts = 10,
        At = DateTimeOffset.UnixEpoch.AddSeconds(number),
        Failure = "status 500",
        Place = PlaceOf(number),
    };

    public static WebhookAttemptDescription Attempt(int number) => new()
    {
        Id = AttemptIdOf(number),
        MessageId = "msg_1",
        Channel = "orders",
        Offset = 42,
        Attempt = number,
        At = DateTimeOffset.UnixEpoch.AddSeconds(number),
        DurationMs = 31,
        Status = 500,
        Error = "status",
        Response = "oops <é>",
    };

    public void Clear()
    {
        lock (_lock) Calls.Clear();
        Existing.Clear();
        Answers.Clear();
        (Arguments, Full) = ([], false);
    }

    private IReadOnlyList<StoredWebhook> List(string tenant, string after, int limit) =>
    [
        .. Existing.Where(w => w.Key.StartsWith(tenant + "/", StringComparison.Ordinal))
            .OrderBy(w => w.Value.Id, StringComparer.Ordinal)
            .Where(w => string.CompareOrdinal(w.Value.Id, after) > 0)
            .Take(limit)
            .Select(w => new StoredWebhook
            {
                Id = WebhookId.Parse(w.Key),
                Channels = w.Value.Definition.Channels,
                Version = 1,
                Definition = default,
                Secrets = default,
            }),
    ];

    private IWebhookGrain Grain(string key) => Answering.Make<IWebhookGrain>((method, arguments) =>
    {
        lock (_lock)
        {
            Calls.Add($"{key} {method}");
            if (method != "GetAsync") Arguments = arguments;
            return Answers.TryGetValue(method, out var answer) ? answer(arguments) : Answer(key, method, arguments);
        }
    });

    private object? Answer(string key, string method, object?[] arguments)
    {
        if (method == "CreateAsync")
        {
            if (Full) return Task.FromResult<WebhookCreated?>(null);
            return Task.FromResult<WebhookCreated?>(new(Existing[key] = Describe(WebhookId.Parse(key).Id, (WebhookDefinition)arguments[0]!), "whsec_S"));
        }

        var found = Existing.GetValueOrDefault(key);
        return method switch
        {
            "GetAsync" => Task.FromResult(found),
            "UpdateAsync" => Task.FromResult(found is null ? null : Existing[key] = found with { Definition = (WebhookDefinition)arguments[0]! }),
            "DeleteAsync" => Task.FromResult(Existing.Remove(key)),
            "RotateSecretAsync" => Task.FromResult(found is null ? null : "whsec_N"),
            "TestAsync" => Task.FromResult(found is null ? null : Attempt(1) with { Channel = null, Offset = 0 }),
            "PauseAsync" => Task.FromResult(Switch(key, found, "paused")),
            "DisableAsync" => Task.FromResult(Switch(key, found, "disabled")),
            "ResumeAsync" or "EnableAsync" => Task.FromResult(Switch(key, found, "active")),
            "SeekAsync" or "SkipAsync" or "ResendAsync" => Task.FromResult(found is not null),
            "ListAttemptsAsync" => Task.FromResult(found is null ? null : new WebhookAttemptPage([], null)),
            "ListDeadLettersAsync" => Task.FromResult(found is null ? null : Array.Empty<WebhookDeadLetter>()),
            "RedriveAsync" => Task.FromResult(found is null ? null : new WebhookRedrivePage(3, null)),
            "ReplayAsync" or "GetReplayAsync" => Task.FromResult(found is null ? null : new WebhookReplay { Id = "rp_1", Status = "running", Remaining = 7 }),
            "CancelReplayAsync" => Task.FromResult(found is null ? null : new WebhookReplay { Id = "rp_1", Status = "cancelled" }),
            "PollAsync" => Task.FromResult(found is null ? null : new[] { Pulled() }),
            "AckAsync" => Task.FromResult<int?>(found is null ? null : ((string[])arguments[0]!).Length),
            _ => throw new InvalidOperationException(method),
        };
    }

    private bool Switch(string key, WebhookDescription? found, string status)
    {
        if (found is not null) Existing[key] = found with { Status = status };
        return found is not null;
    }

    private static WebhookPulled Pulled() => new()
    {
        Lease = "ls_1",
        MessageId = "msg_1",
        Channel = "orders",
        Epoch = "e1",
        Attempt = 2,
        Message = new Message { Offset = 42, At = 1_795_452_674_123, Payload = Payload.Json("{\"total\": 12}"u8.ToArray()), Event = "order.created" },
    };
}

using System.Reflection;
using Grid.Server.Hosting;
using Grid.Server.Tenancy;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Grid.UnitTests.Tenancy;

/// <summary>A first start whose store goes away in the middle: what it generated is shown by the try that gets through, or is worthless.</summary>
public sealed class BootstrapRetryTests
{
    private readonly Grains _grains = new();
    private readonly ApiKeys _keys = new(new MemorySecretStore());
    private readonly TenancyBootstrap _bootstrap;

    public BootstrapRetryTests() => _bootstrap = new TenancyBootstrap(
        _grains.Factory, _keys, Options.Create(new GridOptions()), TimeProvider.System, NullLogger<TenancyBootstrap>.Instance);

    public static TheoryData<int, bool> Faults()
    {
        // The calls of a first start: is there a tenant, make the key, make the tenant, make the playground's.
        var faults = new TheoryData<int, bool>();
        for (var call = 1; call <= 4; call++)
        {
            faults.Add(call, false);
            faults.Add(call, true);
        }

        return faults;
    }

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task The_generated_key_is_shown_whichever_call_fails_before_or_after_it_was_done(int call, bool done)
    {
        _grains.FailAt(call, done);
        await Assert.ThrowsAsync<TimeoutException>(_bootstrap.EnsureAsync);
        var result = await _bootstrap.EnsureAsync();
        Assert.True(result.Created);
        var key = Assert.Single(_grains.Keys);
        Assert.Equal(_keys.Digest(result.GeneratedApiKey!), key.Key);
        Assert.False(key.Value.Revoked);
        Assert.Equal(["default", "playground"], _grains.Tenants.Order());

        // Once.
        Assert.Equal(new BootstrapResult(false, null, false), await _bootstrap.EnsureAsync());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_key_whose_tenant_another_silo_made_meanwhile_is_revoked(bool done)
    {
        _grains.FailAt(2, done);
        await Assert.ThrowsAsync<TimeoutException>(_bootstrap.EnsureAsync);
        _grains.Tenants.Add("default");
        Assert.Equal(new BootstrapResult(false, null, false), await _bootstrap.EnsureAsync());
        Assert.All(_grains.Keys.Values, k => Assert.True(k.Revoked));
    }

    [Fact]
    public async Task A_revocation_that_fails_is_made_again()
    {
        _grains.OnCall = call =>
        {
            if (call == 3) _grains.Tenants.Add("default");
        };
        _grains.FailAt(4, done: false);
        await Assert.ThrowsAsync<TimeoutException>(_bootstrap.EnsureAsync);
        Assert.Equal(new BootstrapResult(false, null, false), await _bootstrap.EnsureAsync());
        Assert.True(Assert.Single(_grains.Keys).Value.Revoked);
    }

    /// <summary>Grains as sets, of which one call can fail, before or after it was done.</summary>
    private sealed class Grains
    {
        private int _calls;
        private int _failAt;
        private bool _done;

        public Grains() => Factory = Make<IGrainFactory>((method, arguments) => method.ReturnType == typeof(IApiKeyGrain)
            ? Make<IApiKeyGrain>((call, values) => CallKey((string)arguments[0]!, call.Name, values))
            : Make<ITenantGrain>((call, _) => CallTenant((string)arguments[0]!, call.Name)));

        public IGrainFactory Factory { get; }

        public HashSet<string> Tenants { get; } = [];

        public Dictionary<string, ApiKeyInfo> Keys { get; } = [];

        public Action<int> OnCall { get; set; } = _ => { };

        public void FailAt(int call, bool done) => (_failAt, _done) = (call, done);

        private object CallKey(string digest, string method, object?[] values) => method switch
        {
            nameof(IApiKeyGrain.GetAsync) => Call(() => Keys.GetValueOrDefault(digest)),
            nameof(IApiKeyGrain.CreateAsync) => Call(() => Keys.TryAdd(digest, (ApiKeyInfo)values[0]!)),
            nameof(IApiKeyGrain.RevokeAsync) => Call(() => Keys.TryGetValue(digest, out var info) && (Keys[digest] = info with { Revoked = true }) is not null),
            _ => throw new NotSupportedException(method),
        };

        private object CallTenant(string name, string method) => method switch
        {
            nameof(ITenantGrain.GetAsync) => Call(() => Tenants.Contains(name) ? new TenantInfo { CreatedAt = default, Settings = new TenantSettings() } : null),
            nameof(ITenantGrain.CreateAsync) => Call(() => Tenants.Add(name)),
            _ => throw new NotSupportedException(method),
        };

        private async Task<T> Call<T>(Func<T> act)
        {
            await Task.Yield();
            var fails = ++_calls == _failAt;
            OnCall(_calls);
            var result = fails && !_done ? default! : act();
            return fails ? throw new TimeoutException() : result;
        }

        private static T Make<T>(Func<MethodInfo, object?[], object> handle)
            where T : class
        {
            var made = DispatchProxy.Create<T, Proxy>();
            ((Proxy)(object)made).Handle = handle;
            return made;
        }
    }

    /// <summary>Hands every call to a delegate.</summary>
    public class Proxy : DispatchProxy
    {
        public Func<MethodInfo, object?[], object> Handle { get; set; } = null!;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) => Handle(targetMethod!, args ?? []);
    }
}

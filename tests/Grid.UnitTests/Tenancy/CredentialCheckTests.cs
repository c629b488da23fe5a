using System.Net;
using Grid.Server.Api;
using ErrorCode = Grid.Protocol.ErrorCode;

namespace Grid.UnitTests.Tenancy;

public sealed class CredentialCheckTests : IDisposable
{
    private static readonly IPAddress Noisy = IPAddress.Parse("203.0.113.7");
    private readonly TenancyFixture _fixture = new();
    private readonly AuthFailures _failures = new();
    private readonly CredentialCheck _check;

    public CredentialCheckTests() => _check = new CredentialCheck(_fixture.Authenticator, _failures);

    public void Dispose() => _failures.Dispose();

    [Fact]
    public async Task Guesses_from_one_address_end_and_no_longer_reach_the_store()
    {
        _fixture.AddKey("secret-key-1");
        _fixture.AddKey("secret-key-2");
        Assert.NotNull((await _check.CheckAsync("secret-key-1", Noisy)).Caller);
        GridProblem? problem = null;
        for (var i = 0; i < 200 && problem?.Code != ErrorCode.RateLimited; i++)
            problem = (await _check.CheckAsync($"guess-{i}-guess", Noisy)).Problem;
        Assert.Equal(ErrorCode.RateLimited, problem!.Code);
        Assert.Equal(429, problem.Status);

        // Whoever shares the address and uses a key that is remembered goes on.
        var lookups = _fixture.Lookups;
        Assert.NotNull((await _check.CheckAsync("secret-key-1", Noisy)).Caller);
        Assert.Equal(lookups, _fixture.Lookups);

        // And so does another address, with a key that nobody has used yet.
        Assert.NotNull((await _check.CheckAsync("secret-key-2", IPAddress.Parse("2001:db8::1"))).Caller);
    }

    [Fact]
    public async Task A_store_that_is_away_is_503_and_no_failure_of_the_address()
    {
        _fixture.BeforeLookup = () => throw new TimeoutException();
        for (var i = 0; i < 100; i++)
            Assert.Equal(ErrorCode.Unavailable, (await _check.CheckAsync($"any-key-{i}", Noisy)).Problem!.Code);
        Assert.True(_failures.MayTry(Noisy));
    }

    [Theory]
    [InlineData("203.0.113.7", "::ffff:203.0.113.7", true)]
    [InlineData("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true)]
    public void Addresses_of_one_place_share_their_limit(string one, string other, bool shared)
    {
        using var limiter = new AddressLimiter(burst: 1, perPermit: TimeSpan.FromHours(1));
        Assert.True(limiter.TryTake(IPAddress.Parse(one)));
        Assert.Equal(!shared, limiter.TryTake(IPAddress.Parse(other)));
        Assert.False(limiter.HasPermit(IPAddress.Parse(one)));
        Assert.True(limiter.HasPermit(null));
    }
}

using Grid.Server.Tenancy;

namespace Grid.UnitTests.Tenancy;

public sealed class ApiKeyTests
{
    private readonly TenancyFixture _fixture = new();

    private Task<Caller?> CheckAsync(string credential) => _fixture.Authenticator.AuthenticateAsync(credential).AsTask();

    [Fact]
    public async Task A_known_key_is_a_server_of_its_tenant()
    {
        _fixture.AddKey("secret-key-1");
        var caller = await CheckAsync("secret-key-1");
        Assert.NotNull(caller);
        Assert.True(caller.IsServer);
        Assert.Equal("acme", caller.Tenant);
        Assert.Null(caller.ExpiresAt);
        Assert.True(caller.Capabilities.Allows("room:7", Capability.Publish));
    }

    [Fact]
    public async Task Unknown_and_revoked_keys_are_refused()
    {
        _fixture.AddKey("revoked-key", revoked: true);
        Assert.Null(await CheckAsync("revoked-key"));
        Assert.Null(await CheckAsync("unknown-key"));
    }

    [Fact]
    public void The_digest_depends_on_the_store_and_does_not_show_the_key()
    {
        var digest = _fixture.ApiKeys.Digest("secret-key-1");
        Assert.Equal(64, digest.Length);
        Assert.Equal(digest, _fixture.ApiKeys.Digest("secret-key-1"));
        Assert.NotEqual(digest, new TenancyFixture().ApiKeys.Digest("secret-key-1"));
    }

    [Fact]
    public void Generated_keys_are_well_formed_and_differ()
    {
        var key = ApiKeys.Generate();
        Assert.StartsWith("gk_", key, StringComparison.Ordinal);
        Assert.True(key.Length >= 43);
        Assert.True(ApiKeys.IsWellFormed(key));
        Assert.NotEqual(key, ApiKeys.Generate());
    }

    [Theory]
    [InlineData("1234567", false)]
    [InlineData("12345678", true)]
    [InlineData("key with spaces", true)]
    [InlineData(" 12345678", false)]
    [InlineData("1234\t5678", false)]
    [InlineData("eyJhbGc.eyJzdWI.c2ln", false)]
    [InlineData("schlüssel-groß", true)]
    public void Keys_have_8_to_200_characters_and_are_no_tokens(string key, bool expected)
    {
        Assert.Equal(expected, ApiKeys.IsWellFormed(key));
        Assert.True(ApiKeys.IsWellFormed(new string('k', 200)));
        Assert.False(ApiKeys.IsWellFormed(new string('k', 201)));
    }

    [Fact]
    public async Task A_storm_of_one_key_asks_the_store_once_and_again_when_that_is_old()
    {
        _fixture.AddKey("secret-key-1");
        var gate = new TaskCompletionSource();
        _fixture.BeforeLookup = () => gate.Task;
        var storm = Enumerable.Range(0, 1000).Select(_ => CheckAsync("secret-key-1")).ToArray();
        gate.SetResult();
        Assert.All(await Task.WhenAll(storm), Assert.NotNull);
        Assert.Equal(1, _fixture.Lookups);

        _fixture.Time.Advance(TimeSpan.FromSeconds(29));
        Assert.NotNull(await CheckAsync("secret-key-1"));
        Assert.Equal(1, _fixture.Lookups);

        _fixture.AddKey("secret-key-1", revoked: true);
        _fixture.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.Null(await CheckAsync("secret-key-1"));
        Assert.Equal(2, _fixture.Lookups);
    }

    [Fact]
    public async Task An_unknown_key_is_remembered_for_a_moment_only()
    {
        Assert.Null(await CheckAsync("made-later"));
        _fixture.AddKey("made-later");
        Assert.Null(await CheckAsync("made-later"));
        Assert.Equal(1, _fixture.Lookups);
        _fixture.Time.Advance(TimeSpan.FromSeconds(2));
        Assert.NotNull(await CheckAsync("made-later"));
    }

    [Fact]
    public async Task A_flood_of_guesses_does_not_push_out_a_key_in_use()
    {
        _fixture.AddKey("secret-key-1");
        Assert.NotNull(await CheckAsync("secret-key-1"));
        for (var i = 0; i < 12_000; i++) Assert.Null(await CheckAsync($"guess-{i}-guess"));
        var lookups = _fixture.Lookups;
        Assert.NotNull(await CheckAsync("secret-key-1"));
        Assert.Equal(lookups, _fixture.Lookups);
    }

    [Fact]
    public async Task A_store_that_is_away_is_not_a_bad_key_and_is_asked_again()
    {
        _fixture.AddKey("secret-key-1");
        _fixture.BeforeLookup = () => throw new TimeoutException();
        await Assert.ThrowsAsync<TenancyUnavailableException>(() => CheckAsync("secret-key-1"));
        _fixture.BeforeLookup = () => Task.CompletedTask;
        Assert.NotNull(await CheckAsync("secret-key-1"));
    }

    [Fact]
    public async Task What_is_remembered_can_be_asked_alone()
    {
        _fixture.AddKey("secret-key-1");
        Assert.False((await _fixture.Authenticator.TryAuthenticateAsync("secret-key-1")).Known);
        await CheckAsync("secret-key-1");
        Assert.NotNull((await _fixture.Authenticator.TryAuthenticateAsync("secret-key-1")).Caller);
        var token = await _fixture.MintAsync();
        Assert.NotNull((await _fixture.Authenticator.TryAuthenticateAsync(token)).Caller);
        Assert.Equal((true, null), await _fixture.Authenticator.TryAuthenticateAsync("short"));
    }
}

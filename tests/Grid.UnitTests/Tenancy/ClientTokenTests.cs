using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Grid.Server.Tenancy;

namespace Grid.UnitTests.Tenancy;

public sealed class ClientTokenTests
{
    private readonly TenancyFixture _fixture = new();

    private Task<Caller?> CheckAsync(string credential) => _fixture.Authenticator.AuthenticateAsync(credential).AsTask();

    [Fact]
    public async Task A_token_tells_tenant_user_capabilities_and_expiry()
    {
        var (token, expiresAt) = await _fixture.Authenticator.MintAsync("acme", "ana ünïcode \"x\"", TenancyFixture.Room, TimeSpan.FromSeconds(60));
        var caller = await CheckAsync(token);
        Assert.NotNull(caller);
        Assert.Equal("acme", caller.Tenant);
        Assert.Equal("ana ünïcode \"x\"", caller.User);
        Assert.False(caller.IsServer);
        Assert.Equal(expiresAt, caller.ExpiresAt);
        Assert.Equal(_fixture.Time.GetUtcNow().AddSeconds(60), expiresAt);
        Assert.True(caller.Capabilities.Allows("room:1", Capability.Subscribe | Capability.Publish));
        Assert.False(caller.Capabilities.Allows("room:1", Capability.History));
        Assert.False(caller.Capabilities.Allows("orders", Capability.Subscribe));
    }

    [Fact]
    public async Task A_token_has_the_form_that_is_documented()
    {
        var parts = (await _fixture.MintAsync()).Split('.');
        var header = JsonNode.Parse(Base64Url.DecodeFromChars(parts[0]))!;
        var claims = JsonNode.Parse(Base64Url.DecodeFromChars(parts[1]))!;
        Assert.Equal("HS256", (string?)header["alg"]);
        Assert.Equal("acme.k1", (string?)header["kid"]);
        Assert.Equal(["aud", "cap", "exp", "iat", "iss", "sub", "tid"], claims.AsObject().Select(c => c.Key).Order());
        Assert.Equal("""{"room:*":["subscribe","publish"]}""", claims["cap"]!.ToJsonString());
        Assert.Equal(_fixture.Time.GetUtcNow().ToUnixTimeSeconds(), (long)claims["iat"]!);
        Assert.Equal(60, (long)claims["exp"]! - (long)claims["iat"]!);
    }

    [Fact]
    public async Task A_token_ends_with_its_expiry()
    {
        var token = await _fixture.MintAsync(seconds: 60);
        _fixture.Time.Advance(TimeSpan.FromSeconds(59.9));
        Assert.NotNull(await CheckAsync(token));
        _fixture.Time.Advance(TimeSpan.FromSeconds(0.1));
        Assert.Null(await CheckAsync(token));
    }

    [Fact]
    public async Task A_token_from_a_clock_ahead_is_good_for_a_little_ahead_only()
    {
        var token = await _fixture.MintAsync();
        var behind = new TenancyFixture();
        behind.Tenants["acme"] = _fixture.Tenants["acme"];
        behind.Time.AdjustTime(_fixture.Time.GetUtcNow().AddSeconds(-4));
        Assert.NotNull(await behind.Authenticator.AuthenticateAsync(token));
        behind.Time.AdjustTime(_fixture.Time.GetUtcNow().AddSeconds(-7));
        Assert.Null(await behind.Authenticator.AuthenticateAsync(token));
    }

    [Theory]
    [InlineData("none")]
    [InlineData("None")]
    [InlineData("HS384")]
    [InlineData("HS512")]
    [InlineData("RS256")]
    [InlineData("ES256")]
    [InlineData("")]
    public async Task Another_algorithm_is_refused_even_with_a_signature_that_holds(string algorithm)
    {
        var secret = _fixture.Tenants["acme"][0].Secret;
        var claims = (await _fixture.MintAsync()).Split('.')[1];
        var header = Encode($$"""{"alg":"{{algorithm}}","kid":"acme.k1","typ":"JWT"}""");
        var input = Encoding.UTF8.GetBytes($"{header}.{claims}");
        foreach (var signature in new[] { "", Base64Url.EncodeToString(HMACSHA256.HashData(secret, input)), Base64Url.EncodeToString(HMACSHA512.HashData(secret, input)) })
            Assert.Null(await CheckAsync($"{header}.{claims}.{signature}"));
    }

    [Fact]
    public async Task A_hand_made_token_is_good_when_it_is_signed_and_right()
    {
        Assert.NotNull(await CheckAsync(HandMade(_ => { })));
    }

    [Theory]
    [InlineData("iss", "\"someone\"")]
    [InlineData("aud", "\"someone\"")]
    [InlineData("exp", "null")]
    [InlineData("exp", "\"soon\"")]
    [InlineData("tid", "\"other\"")]
    [InlineData("tid", "null")]
    [InlineData("sub", "null")]
    [InlineData("sub", "\"\"")]
    [InlineData("sub", "\"a\\u0000b\"")]
    [InlineData("cap", "null")]
    [InlineData("cap", "[]")]
    [InlineData("cap", "{\"room 1\":[\"subscribe\"]}")]
    [InlineData("cap", "{\"room:1\":\"subscribe\"}")]
    [InlineData("cap", "{\"room:1\":[1]}")]
    public async Task A_signed_token_with_a_wrong_claim_is_refused(string claim, string value)
    {
        Assert.Null(await CheckAsync(HandMade(claims => claims[claim] = JsonNode.Parse(value))));
    }

    [Fact]
    public async Task A_capability_of_a_newer_version_grants_nothing_and_does_not_spoil_the_token()
    {
        var caller = await CheckAsync(HandMade(claims => claims["cap"] = JsonNode.Parse("""{"room:1":["subscribe","teleport"]}""")));
        Assert.True(caller!.Capabilities.Allows("room:1", Capability.Subscribe));
        Assert.False(caller.Capabilities.Allows("room:1", Capability.Publish));
    }

    [Fact]
    public async Task A_key_vouches_for_its_own_tenant_alone()
    {
        // Signed by the key of "other", which says that it speaks for "acme"; and a key of that id exists there too.
        Assert.Null(await CheckAsync(HandMade(_ => { }, signedBy: "other")));
        Assert.Null(await CheckAsync(HandMade(_ => { }, signedBy: "other", kid: "other.k1")));
        Assert.NotNull(await CheckAsync(HandMade(c => c["tid"] = "other", signedBy: "other", kid: "other.k1")));
    }

    [Theory]
    [InlineData("acme.k2")]
    [InlineData("nobody.k1")]
    [InlineData("acme")]
    [InlineData(".k1")]
    [InlineData("ac/me.k1")]
    [InlineData("")]
    public async Task An_unknown_key_id_is_refused(string kid) => Assert.Null(await CheckAsync(HandMade(_ => { }, kid: kid)));

    [Fact]
    public async Task A_token_changed_anywhere_is_refused()
    {
        var token = await _fixture.MintAsync();
        for (var i = 0; i < token.Length - 1; i++)
        {
            if (token[i] == '.') continue;
            var changed = string.Concat(token.AsSpan(0, i), token[i] == 'A' ? "B" : "A", token.AsSpan(i + 1));
            Assert.Null(await CheckAsync(changed));
        }
    }

    [Fact]
    public async Task Rubbish_is_refused_without_an_exception()
    {
        string[] rubbish =
        [
            "", ".", "..", "...", "eyJ..", "eyJ.eyJ.", "eyJhbGciOiJIUzI1NiJ9..", "eyJhbGciOiJIUzI1NiJ9.e30.AA", new('a', 100_000),
            "eyJ" + new string('a', 20_000) + ".a.a", "\0\0\0\0\0\0\0\0\0", "ключключключ", "\ud800\ud800\ud800\ud800\ud800", "a b c d e f g h",
        ];
        foreach (var text in rubbish) Assert.Null(await CheckAsync(text));
    }

    [Fact]
    public async Task A_token_longer_than_the_limit_is_refused_and_not_made()
    {
        Capabilities many = new([.. Enumerable.Range(0, 200).Select(i => KeyValuePair.Create($"{new string('x', 150)}:{i}", Capability.All))]);
        await Assert.ThrowsAsync<ArgumentException>(() => _fixture.Authenticator.MintAsync("acme", "ana", many, TimeSpan.FromSeconds(60)).AsTask());
        var longOne = HandMade(c => c["pad"] = new string('x', 20_000));
        Assert.Null(await CheckAsync(longOne));
    }

    [Fact]
    public async Task Tokens_outlive_a_rotation_of_the_key()
    {
        var before = await _fixture.MintAsync();
        var old = _fixture.Tenants["acme"][0];
        _fixture.Tenants["acme"] = [TenancyFixture.NewKey("k2"), old with { RetiresAt = _fixture.Time.GetUtcNow().AddDays(30) }];
        _fixture.Time.Advance(TimeSpan.FromSeconds(31));
        Assert.NotNull(await CheckAsync(before));
        Assert.StartsWith("acme.k2", (string?)JsonNode.Parse(Base64Url.DecodeFromChars((await _fixture.MintAsync()).Split('.')[0]))!["kid"], StringComparison.Ordinal);

        // And a token of the new key is good at once where only the old key is remembered.
        _fixture.Tenants["acme"] = [TenancyFixture.NewKey("k3"), old];
        var silo = new TenancyFixture();
        silo.Tenants["acme"] = [old];
        Assert.NotNull(await silo.Authenticator.AuthenticateAsync(before));
        silo.Tenants["acme"] = _fixture.Tenants["acme"];
        silo.Time.Advance(TimeSpan.FromSeconds(6));
        _fixture.Time.AdjustTime(silo.Time.GetUtcNow());
        Assert.NotNull(await silo.Authenticator.AuthenticateAsync(HandMade(_ => { }, kid: "acme.k3")));
    }

    private static string Encode(string json) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(json));

    private string HandMade(Action<JsonObject> change, string signedBy = "acme", string kid = "acme.k1")
    {
        var now = _fixture.Time.GetUtcNow().ToUnixTimeSeconds();
        var claims = new JsonObject
        {
            ["iss"] = "grid",
            ["aud"] = "grid",
            ["sub"] = "ana",
            ["tid"] = "acme",
            ["cap"] = JsonNode.Parse("""{"room:*":["subscribe"]}"""),
            ["iat"] = now,
            ["exp"] = now + 60,
        };
        change(claims);
        foreach (var nothing in claims.Where(c => c.Value is null).Select(c => c.Key).ToList()) claims.Remove(nothing);
        var header = new JsonObject { ["alg"] = "HS256", ["kid"] = kid, ["typ"] = "JWT" };
        var input = $"{Encode(header.ToJsonString())}.{Encode(claims.ToJsonString())}";
        var keys = _fixture.Tenants[signedBy];
        var secret = (keys.FirstOrDefault(k => kid == $"{signedBy}.{k.Id}") ?? keys[0]).Secret;
        return $"{input}.{Base64Url.EncodeToString(HMACSHA256.HashData(secret, Encoding.UTF8.GetBytes(input)))}";
    }
}

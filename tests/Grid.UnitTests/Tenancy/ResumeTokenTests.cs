using Grid.Server.Tenancy;

namespace Grid.UnitTests.Tenancy;

public sealed class ResumeTokenTests
{
    private static readonly ResumeClaims Claims = new("acme", "s_1234", "ana ünï\u0001", 42);
    private readonly MemorySecretStore _secrets = new();

    [Fact]
    public void A_token_comes_back_whole_also_after_a_restart()
    {
        var token = new ResumeTokens(_secrets).Issue(Claims);
        Assert.Equal(Claims, new ResumeTokens(_secrets).Verify(token));
        Assert.True(token.Length < 200, token);
    }

    [Fact]
    public void Another_store_refuses_it() =>
        Assert.Null(new ResumeTokens(new MemorySecretStore()).Verify(new ResumeTokens(_secrets).Issue(Claims)));

    [Fact]
    public void A_token_changed_anywhere_is_refused()
    {
        var tokens = new ResumeTokens(_secrets);
        var token = tokens.Issue(Claims);
        for (var i = 0; i < token.Length; i++)
        {
            foreach (var c in "AB.-é")
            {
                if (token[i] == c) continue;
                Assert.Null(tokens.Verify(string.Concat(token.AsSpan(0, i), c.ToString(), token.AsSpan(i + 1))));
            }

            Assert.Null(tokens.Verify(token[..i]));
        }

        Assert.Null(tokens.Verify(token + "A"));
        Assert.Null(tokens.Verify(token + "="));
        Assert.Null(tokens.Verify(" " + token));
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("a.b")]
    [InlineData(".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    public void Rubbish_is_refused(string token) => Assert.Null(new ResumeTokens(_secrets).Verify(token));

    [Fact]
    public void An_endless_token_is_refused() => Assert.Null(new ResumeTokens(_secrets).Verify(new string('a', 1_000_000)));
}

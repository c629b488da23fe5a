using System.Net;

namespace Grid.IntegrationTests.Api;

[Collection("api")]
public sealed class ChannelApiTests(ApiHost host)
{
    [Fact]
    public async Task A_channel_tells_how_far_it_reaches() => Assert.Equal(
        """{"channel":"never:used","epoch":"e1","oldest":1,"head":0,"subscribers":3}""", await host.Server.GetStringAsync("/v1/channels/never:used"));

    [Theory]
    [InlineData("a%20b")]
    [InlineData("a%2Fb")]
    [InlineData("%C3%BC")]
    [InlineData("a%09b")]
    public async Task A_name_outside_the_grammar_is_a_bad_frame(string channel)
    {
        await Http.ProblemAsync(await host.Server.GetAsync($"/v1/channels/{channel}"), HttpStatusCode.BadRequest, "bad_frame");
        await Http.ProblemAsync(await host.Server.GetAsync($"/v1/channels/{channel}/messages"), HttpStatusCode.BadRequest, "bad_frame");
        await Http.ProblemAsync(
            await host.Server.PostAsync($"/v1/channels/{channel}/messages", Http.Body("""{"data":1}""")), HttpStatusCode.BadRequest, "bad_frame");
    }

    [Fact]
    public async Task Names_have_at_most_200_characters()
    {
        await Http.JsonAsync(await host.Server.GetAsync($"/v1/channels/{new string('c', 200)}"));
        await Http.ProblemAsync(await host.Server.GetAsync($"/v1/channels/{new string('c', 201)}"), HttpStatusCode.BadRequest, "bad_frame");
    }

    [Theory]
    [InlineData("after=-1")]
    [InlineData("after=x")]
    [InlineData("after=")]
    [InlineData("after=1&after=2")]
    [InlineData("after=9007199254740992")]
    [InlineData("limit=0")]
    [InlineData("limit=1001")]
    [InlineData("limit=ten")]
    public async Task Bad_parameters_are_bad_frames(string query) => await Http.ProblemAsync(
        await host.Server.GetAsync($"/v1/channels/room:1/messages?{query}"), HttpStatusCode.BadRequest, "bad_frame");

    [Fact]
    public async Task A_namespace_without_history_shows_none() => await Http.ProblemAsync(
        await host.Server.GetAsync("/v1/channels/secret:1/messages"), HttpStatusCode.Forbidden, "forbidden");

    [Fact]
    public async Task A_token_in_the_query_reads_channels_and_does_nothing_else_and_is_not_logged()
    {
        var token = await host.TokenAsync("""{"room:*":["history","publish"]}""");
        await Http.JsonAsync(await host.Anonymous.GetAsync($"/v1/channels/room:q/messages?token={token}"));
        await Http.JsonAsync(await host.Anonymous.GetAsync($"/v1/channels/room:q?token={token}"));
        await Http.ProblemAsync(
            await host.Anonymous.PostAsync($"/v1/channels/room:q/messages?token={token}", Http.Body("""{"data":1}""")),
            HttpStatusCode.Unauthorized,
            "unauthorized");
        await Http.ProblemAsync(await host.Anonymous.GetAsync($"/v1/sessions?user=ana&token={ApiHost.ApiKey}"), HttpStatusCode.Unauthorized, "unauthorized");
        Assert.DoesNotContain(host.Log, line => line.Contains(token, StringComparison.Ordinal) || line.Contains(ApiHost.ApiKey, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Sessions_are_listed_and_closed()
    {
        Assert.Equal(
            """{"sessions":[{"session":"s_1","user":"ana","connected":false,"silo":null,"subscriptions":["room:1"]}]}""",
            await host.Server.GetStringAsync("/v1/sessions?user=ana"));
        Assert.Equal("""{"sessions":[]}""", await host.Server.GetStringAsync("/v1/sessions?user=nobody"));
        await Http.ProblemAsync(await host.Server.GetAsync("/v1/sessions"), HttpStatusCode.BadRequest, "bad_frame");
        await Http.ProblemAsync(await host.Server.GetAsync("/v1/sessions?user=ana&limit=0"), HttpStatusCode.BadRequest, "bad_frame");

        Assert.Equal(HttpStatusCode.NoContent, (await host.Server.DeleteAsync("/v1/sessions/s_1")).StatusCode);
        await Http.ProblemAsync(await host.Server.DeleteAsync("/v1/sessions/s_1"), HttpStatusCode.NotFound, "bad_frame");
        await Http.ProblemAsync(await host.Server.DeleteAsync("/v1/sessions/no%20session"), HttpStatusCode.NotFound, "bad_frame");
    }
}

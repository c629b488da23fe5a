using System.Text.Json;
using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

public class JsonAuthTests(ContractHost host) : AuthTests(host, Subprotocols.Json);

public class ProtoAuthTests(ContractHost host) : AuthTests(host, Subprotocols.Proto);

public abstract class AuthTests(ContractHost host, string subprotocol) : ContractTest(host, subprotocol)
{
    [Fact]
    public async Task A_token_may_do_only_what_its_capabilities_say()
    {
        var name = Guid.NewGuid().ToString("N");
        await FillAsync($"hear:{name}", 2);
        await FillAsync($"all:{name}", 2);
        await using var client = await Host.OpenAsync(capabilities: $$"""
            {"hear:*":["subscribe"],"speak:*":["publish"],"all:{{name}}":["subscribe","publish","history"]}
            """);
        AssertType(await client.SubscribeAsync($"hear:{name}"), "subscribed");
        AssertError(await client.PublishAsync($"hear:{name}", "1"), "forbidden");
        AssertType(await client.PublishAsync($"speak:{name}", "1"), "published");
        AssertError(await client.SubscribeAsync($"speak:{name}"), "forbidden");
        AssertType(await client.SubscribeAsync($"all:{name}", ClientFrames.Start), "subscribed");
        AssertType(await client.PublishAsync($"all:{name}", "1"), "published");
        AssertError(await client.SubscribeAsync($"all:{name}x"), "forbidden");
        AssertError(await client.PublishAsync("else", "1"), "forbidden");
    }

    [Theory]
    [InlineData("\"start\"")]
    [InlineData("{\"last\":1}")]
    [InlineData("{\"epoch\":\"another\",\"offset\":0}")]
    public async Task The_past_needs_the_capability_history(string from)
    {
        var channel = ContractHost.NewChannel();
        await FillAsync(channel, 2);
        await using var client = await Host.OpenAsync(capabilities: """{"room:*":["subscribe"]}""");
        AssertError(await client.SubscribeAsync(channel, from), "forbidden");
        AssertType(await client.SubscribeAsync(channel), "subscribed");
    }

    [Fact]
    public async Task At_its_expiry_a_token_ends_its_connection_unless_it_was_replaced()
    {
        var fresh = await Host.Http.TokenAsync("ana");
        var ends = await Host.Http.TokenAsync("ana", ttlSeconds: 6);
        var replaced = await Host.Http.TokenAsync("ana", ttlSeconds: 6);
        await using var ending = await Host.OpenWithAsync(ends);
        await using var staying = await Host.OpenWithAsync(replaced);
        var answer = AssertType(await staying.RequestAsync(9, ClientFrames.Auth(9, fresh)), "authorized");
        var expiresAt = DateTimeOffset.Parse(answer.String("expiresAt")!, System.Globalization.CultureInfo.InvariantCulture);
        Assert.True(expiresAt > DateTimeOffset.UtcNow.AddMinutes(50), answer.Text);

        Assert.Equal(4501, (await ending.ClosedAsync()).Code);
        var error = ending.Frames[^1];
        AssertError(error, "unauthorized");
        Assert.Null(error.Id);

        await staying.PingAsync();
        Assert.DoesNotContain(staying.Frames, f => f.Type == "error");

        // And the ended token opens nothing any more.
        await using var late = await Host.ConnectAsync(ends, TokenPlace.Hello);
        late.Send(ClientFrames.Hello(ends));
        Assert.Equal(4501, (await late.ClosedAsync()).Code);
    }

    [Fact]
    public async Task A_replaced_tokens_capabilities_count_from_then_on()
    {
        var channel = ContractHost.NewChannel();
        await using var client = await Host.OpenAsync("ana", """{"room:*":["subscribe"]}""");
        AssertError(await client.PublishAsync(channel, "1"), "forbidden");
        var more = await Host.Http.TokenAsync("ana", """{"room:*":["subscribe","publish"]}""");
        AssertType(await client.RequestAsync(50, ClientFrames.Auth(50, more)), "authorized");
        AssertType(await client.PublishAsync(channel, "1"), "published");
    }

    [Fact]
    public async Task A_token_of_somebody_else_or_of_nobody_replaces_nothing()
    {
        await using var client = await Host.OpenAsync("ana");
        AssertError(await client.RequestAsync(51, ClientFrames.Auth(51, await Host.Http.TokenAsync("eve"))), "unauthorized");
        AssertError(await client.RequestAsync(52, ClientFrames.Auth(52, "nonsense")), "unauthorized");
        AssertError(await client.RequestAsync(53, """{"type":"auth","id":53}"""), "bad_frame");
        var channel = ContractHost.NewChannel();
        await client.SubscribeAsync(channel);
        AssertType(await client.PublishAsync(channel, "1"), "published");
        Assert.Equal("ana", (await client.MessageAsync(channel, 1)).String("from"));
    }

    [Fact]
    public async Task A_revoked_session_is_closed_and_forgotten()
    {
        var user = ContractHost.NewUser();
        var token = await Host.Http.TokenAsync(user);
        await using var client = await Host.OpenWithAsync(token);
        var channel = ContractHost.NewChannel();
        var epoch = (await client.SubscribeAsync(channel)).Epoch;
        var session = client.Welcome!.Session;
        var listed = Assert.Single((await Host.Http.GetAsync($"/v1/sessions?user={user}")).Ok().Json.GetProperty("sessions").EnumerateArray().ToArray());
        Assert.Equal((session, user, true), (listed.GetProperty("session").GetString(), listed.GetProperty("user").GetString(), listed.GetProperty("connected").GetBoolean()));
        Assert.True(listed.TryGetProperty("silo", out _) && listed.TryGetProperty("subscriptions", out _), listed.GetRawText());

        (await Host.Http.SendAsync(HttpMethod.Delete, $"/v1/sessions/{session}")).Ok();
        Assert.Equal(4503, (await client.ClosedAsync()).Code);
        Assert.Equal(0, (await Host.Http.GetAsync($"/v1/sessions?user={user}")).Ok().Json.GetProperty("sessions").GetArrayLength());
        await using var again = await Host.OpenWithAsync(token, new RawResume(session, client.Welcome.ResumeToken));
        Assert.Equal("expired", again.Welcome!.State);
        await using var withCursors = await Host.OpenWithAsync(
            token, new RawResume(session, client.Welcome.ResumeToken, new Dictionary<string, RawPosition> { [channel] = new(epoch, 0) }));
        Assert.Equal("expired", withCursors.Welcome!.State);
        Assert.NotEqual(session, withCursors.Welcome.Session);
    }

    [Fact]
    public async Task Tenants_do_not_hear_each_other()
    {
        using var anyone = new GridHttp(Host.Address, null);
        var answer = (await anyone.PostAsync("/playground/token", "{}")).Ok();
        await using var visitor = await Host.OpenWithAsync(answer.Json.GetProperty("token").GetString()!);
        await using var client = await Host.OpenAsync(answer.Json.GetProperty("user").GetString()!);
        var channel = ContractHost.NewChannel("chat");
        AssertType(await visitor.SubscribeAsync(channel), "subscribed");
        AssertType(await client.SubscribeAsync(channel), "subscribed");
        Assert.Equal(1, AssertType(await client.PublishAsync(channel, "\"ours\"", "k"), "published").Offset);
        var theirs = AssertType(await visitor.PublishAsync(channel, "\"theirs\"", "k"), "published");
        Assert.Equal(1, theirs.Offset);
        Assert.False(theirs.Json.GetProperty("duplicate").GetBoolean());
        Assert.Equal("\"ours\"", (await client.MessageAsync(channel, 1)).Payload);
        Assert.Equal("\"theirs\"", (await visitor.MessageAsync(channel, 1)).Payload);
        Assert.Equal("\"ours\"", Assert.Single((await Host.Http.HistoryAsync(channel)).Messages).Payload);

        // Nor can one take over the other's session, even as a user of the same name.
        await using var thief = await Host.OpenWithAsync(
            answer.Json.GetProperty("token").GetString()!, new RawResume(client.Welcome!.Session, client.Welcome.ResumeToken));
        Assert.NotEqual("resumed", thief.Welcome!.State);
        Assert.Equal(404, (int)(await Host.Http.SendAsync(HttpMethod.Delete, $"/v1/sessions/{visitor.Welcome!.Session}")).Status);
        await client.PingAsync();
        await visitor.PingAsync();
        AssertError(await visitor.SubscribeAsync(ContractHost.NewChannel("secret")), "forbidden");
    }

    [Fact]
    public async Task A_client_token_mints_no_tokens_and_ends_no_sessions()
    {
        using var http = new GridHttp(Host.Address, await Host.Http.TokenAsync("ana"));
        await using var client = await Host.OpenAsync("ben");
        Assert.Equal(403, (int)(await http.PostAsync("/v1/tokens", """{"user":"x","capabilities":{"*":["publish"]}}""")).Status);
        Assert.Equal(403, (int)(await http.GetAsync("/v1/sessions?user=ben")).Status);
        Assert.Equal(403, (int)(await http.SendAsync(HttpMethod.Delete, $"/v1/sessions/{client.Welcome!.Session}")).Status);
        await client.PingAsync();
    }

    [Fact]
    public async Task A_minted_token_says_when_it_ends()
    {
        var answer = (await Host.Http.PostAsync("/v1/tokens", """{"user":"ana","ttlSeconds":600,"capabilities":{"room:*":["subscribe"]}}""")).Ok().Json;
        Assert.InRange(answer.GetProperty("expiresAt").GetDateTimeOffset(), DateTimeOffset.UtcNow.AddMinutes(8), DateTimeOffset.UtcNow.AddMinutes(12));
        Assert.Equal(JsonValueKind.String, answer.GetProperty("token").ValueKind);
    }
}

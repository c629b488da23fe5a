using System.Net.WebSockets;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

public class JsonHelloTests(ContractHost host) : HelloTests(host, Subprotocols.Json);

public class ProtoHelloTests(ContractHost host) : HelloTests(host, Subprotocols.Proto);

public abstract class HelloTests(ContractHost host, string subprotocol) : ContractTest(host, subprotocol)
{
    [Theory]
    [InlineData(TokenPlace.Header)]
    [InlineData(TokenPlace.Query)]
    [InlineData(TokenPlace.Hello)]
    public async Task A_token_is_taken_from_header_query_or_hello(TokenPlace place)
    {
        await using var client = await RawClient.OpenAsync(Host.Address, Host.Options(await Host.Http.TokenAsync("ana"), place));
        var welcome = client.Welcome!;
        Assert.Equal("new", welcome.State);
        Assert.NotEmpty(welcome.Session);
        Assert.NotEmpty(welcome.ResumeToken);
        Assert.Equal(300_000, welcome.Frame.Number("resumeWindowMs"));
        Assert.Equal(15_000, welcome.Frame.Number("heartbeatMs"));
        Assert.Equal(65_536, welcome.Frame.Number("maxFrameBytes"));
        Assert.Empty(welcome.Subscriptions);
        Assert.Equal(Host.Subprotocol, client.Subprotocol);
    }

    [Fact]
    public async Task Two_sessions_are_two()
    {
        await using var one = await Host.OpenAsync("ana");
        await using var two = await Host.OpenAsync("ana");
        Assert.NotEqual(one.Welcome!.Session, two.Welcome!.Session);
        Assert.NotEqual(one.Welcome.ResumeToken, two.Welcome.ResumeToken);
    }

    [Fact]
    public async Task Unknown_fields_of_hello_are_ignored()
    {
        await using var client = await Host.ConnectAsync(await Host.Http.TokenAsync("ana"));
        client.Send("""{"future":{"a":[1]},"type":"hello","client":"x/1","more":null}""");
        await client.WaitAsync(f => f.Type == "welcome", "welcome");
    }

    [Fact]
    public async Task Without_a_token_the_socket_is_closed_with_4501()
    {
        await using var client = await Host.ConnectAsync(null);
        client.Send(ClientFrames.Hello());
        Assert.Equal(4501, (await client.ClosedAsync()).Code);
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbmEifQ.")]
    public async Task A_bad_token_in_hello_is_4501(string token)
    {
        await using var client = await Host.ConnectAsync(token, TokenPlace.Hello);
        client.Send(ClientFrames.Hello(token));
        Assert.Equal(4501, (await client.ClosedAsync()).Code);
    }

    [Theory]
    [InlineData(TokenPlace.Header)]
    [InlineData(TokenPlace.Query)]
    public async Task A_bad_token_at_the_upgrade_is_401_or_4501(TokenPlace place)
    {
        RawClient client;
        try
        {
            client = await Host.ConnectAsync("nonsense", place);
        }
        catch (WebSocketException e)
        {
            Assert.Contains("401", e.Message, StringComparison.Ordinal);
            return;
        }

        await using var _ = client;
        client.Send(ClientFrames.Hello());
        Assert.Equal(4501, (await client.ClosedAsync()).Code);
    }

    [Fact]
    public async Task A_tampered_token_is_refused()
    {
        var parts = (await Host.Http.TokenAsync("ana")).Split('.');
        Assert.Equal(3, parts.Length);
        var signature = parts[2].ToCharArray();
        signature[5] = signature[5] == 'A' ? 'B' : 'A';
        var token = $"{parts[0]}.{parts[1]}.{new string(signature)}";
        await using var client = await Host.ConnectAsync(token, TokenPlace.Hello);
        client.Send(ClientFrames.Hello(token));
        Assert.Equal(4501, (await client.ClosedAsync()).Code);
    }

    [Fact]
    public async Task Without_hello_the_socket_is_closed_with_4501()
    {
        await using var client = await Host.ConnectAsync(await Host.Http.TokenAsync("ana"));
        Assert.Equal(4501, (await client.ClosedAsync()).Code);
    }

    [Fact]
    public async Task A_first_frame_that_is_no_hello_is_a_violation()
    {
        await using var client = await Host.ConnectAsync(await Host.Http.TokenAsync("ana"));
        client.Send(ClientFrames.Subscribe(1, "room:1"));
        Assert.Equal(4502, (await client.ClosedAsync()).Code);
    }

    [Fact]
    public async Task An_upgrade_that_is_none_is_refused()
    {
        var answer = await Host.Http.GetAsync("/v1/ws");
        Assert.InRange((int)answer.Status, 400, 499);
    }
}

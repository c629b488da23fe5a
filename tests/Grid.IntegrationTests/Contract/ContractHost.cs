using Grid.Testing.Hosting;
using Grid.Testing.Wire;

namespace Grid.IntegrationTests.Contract;

/// <summary>One host process for all tests of the wire contract; each test uses channels and users of its own.</summary>
public sealed class ContractHost : IAsyncLifetime
{
    /// <summary>The most subscriptions of a session there.</summary>
    public const int MaxSubscriptions = 20;

    private static int _count;
    private Task<(string Channel, string Epoch)>? _trimmed;

    public HostProcess Process { get; } = new(new Dictionary<string, string?>
    {
        ["Grid__HelloTimeout"] = "00:00:03",
        ["Grid__CheckpointInterval"] = "00:00:01",
        ["Grid__MaxSubscriptionsPerSession"] = $"{MaxSubscriptions}",
        ["Grid__Namespaces__tiny__MaxMessages"] = "10",
        ["Grid__Namespaces__eph__Durability"] = "Ephemeral",
        ["Grid__Namespaces__small__MaxMessageBytes"] = "100",
        ["Grid__Namespaces__nohist__History"] = "false",
        ["Grid__Playground__Enabled"] = "true",
    });

    public GridHttp Http { get; private set; } = null!;

    /// <summary>
    /// A channel with 60 messages, of which retention has taken at least the first three, and its epoch. Once for all tests, and begun
    /// before the first of them, since retention looks only every half minute.
    /// </summary>
    public Task<(string Channel, string Epoch)> Trimmed => _trimmed!;

    public Uri Address => Process.Address;

    /// <summary>A channel that no other test uses.</summary>
    public static string NewChannel(string ns = "room") => $"{ns}:{Interlocked.Increment(ref _count)}-{Guid.NewGuid():N}";

    /// <summary>A user that no other test uses.</summary>
    public static string NewUser() => $"user-{Guid.NewGuid():N}";

    public async Task InitializeAsync()
    {
        await Process.StartAsync();
        Http = Process.Http();
        _trimmed = TrimAsync();
    }

    private async Task<(string Channel, string Epoch)> TrimAsync()
    {
        var channel = NewChannel("tiny");
        var epoch = "";
        for (var i = 1; i <= 60; i++) epoch = (await Http.PublishAsync(channel, $"{i}")).Epoch;
        using var deadline = Testing.TestDeadline.In(120);
        await deadline.UntilAsync(async () => (await Http.HistoryAsync(channel)).Oldest > 3, () => "retention has taken something");
        return (channel, epoch);
    }

    public async Task DisposeAsync()
    {
        await Process.DisposeAsync();

        // Of no use without its host, and its failure is that of a test that asked.
        if (_trimmed is not null) await _trimmed.ContinueWith(static t => _ = t.Exception, TaskScheduler.Default);
        Http?.Dispose();
    }
}

/// <summary>Tests that share <see cref="ContractHost"/>.</summary>
[CollectionDefinition(Name)]
public class ContractCollection : ICollectionFixture<ContractHost>
{
    public const string Name = "contract";
}

/// <summary>The host as the clients of one subprotocol reach it.</summary>
public sealed class ContractWire(ContractHost host, string subprotocol)
{
    public HostProcess Process => host.Process;

    public GridHttp Http => host.Http;

    /// <inheritdoc cref="ContractHost.Trimmed"/>
    public Task<(string Channel, string Epoch)> Trimmed => host.Trimmed;

    public Uri Address => host.Address;

    public string Subprotocol => subprotocol;

    /// <summary>A connected client that has said hello.</summary>
    public async Task<RawClient> OpenAsync(string? user = null, string? capabilities = null, RawResume? resume = null)
    {
        var name = user ?? ContractHost.NewUser();
        return await OpenWithAsync(capabilities is null ? await Http.TokenAsync(name) : await Http.TokenAsync(name, capabilities), resume);
    }

    /// <summary>A connected client with a token.</summary>
    public Task<RawClient> OpenWithAsync(string token, RawResume? resume = null) => RawClient.OpenAsync(Address, Options(token), resume);

    /// <summary>A connected client that has not said hello.</summary>
    public Task<RawClient> ConnectAsync(string? token, TokenPlace place = TokenPlace.Header) =>
        RawClient.ConnectAsync(Address, Options(token, place));

    /// <summary>How clients of the subprotocol connect.</summary>
    public RawClientOptions Options(string? token, TokenPlace place = TokenPlace.Header) =>
        new() { Token = token, TokenPlace = place, Subprotocol = subprotocol };

    /// <summary>A bare socket that has been welcomed.</summary>
    public async Task<RawSocket> HelloAsync()
    {
        var socket = await RawSocket.UpgradeAsync(Address, await Http.TokenAsync(ContractHost.NewUser()), subprotocol);
        Assert.Equal(101, socket.Status);
        await socket.SendAsync(ClientFrames.Hello());
        Assert.NotNull(await socket.ReadUntilAsync("welcome"));
        return socket;
    }
}

/// <summary>
/// A test of the contract, for one subprotocol: the tests are in abstract classes, and each has a class for each subprotocol.
/// Whatever a test did, the host must be alive after it and must not have logged an error.
/// </summary>
[Collection(ContractCollection.Name)]
public abstract class ContractTest(ContractHost host, string subprotocol) : IAsyncLifetime
{
    private int _errorsBefore;

    protected ContractWire Host { get; } = new(host, subprotocol);

    public Task InitializeAsync()
    {
        _errorsBefore = Host.Process.Output.Errors.Count;
        return Task.CompletedTask;
    }

    public async Task DisposeAsync()
    {
        Assert.True(Host.Process.IsRunning, Host.Process.Output.Tail());
        Assert.Equal(System.Net.HttpStatusCode.OK, (await Host.Http.GetAsync("/healthz")).Status);
        var errors = Host.Process.Output.Errors.Skip(_errorsBefore).ToList();
        Assert.True(errors.Count == 0, $"The host logged errors: {string.Join('\n', errors)}\n{Host.Process.Output.Tail(40)}");
    }

    /// <summary>Asserts that a frame is an <c>error</c> with a code.</summary>
    protected static RawFrame AssertError(RawFrame frame, string code)
    {
        Assert.True(frame.Type == "error" && frame.Code == code, $"expected the error {code}, got {frame}");
        Assert.False(string.IsNullOrWhiteSpace(frame.String("message")), $"an error needs a message for people: {frame}");
        return frame;
    }

    /// <summary>Asserts a frame's type.</summary>
    protected static RawFrame AssertType(RawFrame frame, string type)
    {
        Assert.True(frame.Type == type, $"expected {type}, got {frame}");
        return frame;
    }

    /// <summary>Publishes numbered messages by HTTP: payloads 1..count.</summary>
    protected async Task<string> FillAsync(string channel, int count)
    {
        var position = new RawPosition("", 0);
        for (var i = 1; i <= count; i++) position = await Host.Http.PublishAsync(channel, $"{i}");
        return position.Epoch;
    }
}

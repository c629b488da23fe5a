using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Grid.Testing.History;
using Grid.Testing.Wire;

namespace Grid.Testing.Sdk;

/// <summary>
/// A user of the TypeScript SDK: a Node process that runs <c>peer.mjs</c> with the built client that the host serves
/// (<c>src/Grid.Host/wwwroot/sdk</c>), so what is tested is what browsers get.
/// </summary>
public sealed class NodePeer : Peer
{
    private readonly TestFolder _folder = new("node");
    private readonly IReadOnlyList<Uri> _hosts;
    private readonly string _token;
    private readonly TaskCompletionSource<JsonElement> _ready = NewWait();
    private readonly TaskCompletionSource<JsonElement> _done = NewWait();
    private readonly TaskCompletionSource<JsonElement> _closed = NewWait();
    private readonly ConcurrentQueue<string> _errors = new();
    private Process? _process;
    private Task _output = Task.CompletedTask;

    public NodePeer(string name, HistoryRecorder history, Uri host, string token)
        : this(name, history, [host], token)
    {
    }

    /// <summary>Makes a user that connects to one of several hosts at random, and to another the next time.</summary>
    public NodePeer(string name, HistoryRecorder history, IReadOnlyList<Uri> hosts, string token)
        : base(name, history)
    {
        _hosts = hosts;
        _token = token;
    }

    /// <summary>What an earlier process's storage held when it closed; null for a fresh start.</summary>
    public JsonNode? Stored { get; init; }

    /// <summary>The form of its frames. Default: <see cref="Subprotocols.Default"/>.</summary>
    public string Subprotocol { get; init; } = Subprotocols.Default;

    /// <summary>The session; known when it has started.</summary>
    public string? Session { get; private set; }

    public override async Task StartAsync(IReadOnlyList<string> channels, TestDeadline deadline)
    {
        foreach (var channel in channels) Following(channel);
        await LaunchAsync();
        await SendAsync(new JsonObject
        {
            ["do"] = "start",
            ["urls"] = new JsonArray([.. _hosts.Select(h => (JsonNode)h.ToString())]),
            ["mayBeUnavailable"] = MayBeUnavailable,
            ["token"] = _token,
            ["name"] = Name,
            ["proto"] = Subprotocol == Subprotocols.Proto,
            ["follow"] = new JsonArray([.. channels.Select(c => (JsonNode)c)]),
            ["stored"] = Stored?.DeepClone(),
        });
        Session = (await WaitAsync(_ready, deadline)).GetProperty("session").GetString();
    }

    public override async Task PublishAsync(int count, TestDeadline deadline)
    {
        await SendAsync(new JsonObject { ["do"] = "publish", ["name"] = Name, ["count"] = count, ["paceMs"] = Pace.TotalMilliseconds });
        await WaitAsync(_done, deadline);
    }

    public override void FinishPublishing()
    {
        base.FinishPublishing();
        _ = SendAsync(new JsonObject { ["do"] = "finish" });
    }

    public override void Cut() => _ = SendAsync(new JsonObject { ["do"] = "cut" });

    /// <summary>Closes the client and ends the process; what its storage held.</summary>
    public async Task<JsonNode?> CloseAsync(TestDeadline deadline)
    {
        await SendAsync(new JsonObject { ["do"] = "close" });
        var closed = await WaitAsync(_closed, deadline);
        return JsonNode.Parse(closed.GetProperty("stored").GetRawText());
    }

    public override async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            if (!_process.HasExited) _process.Kill();
            await _process.WaitForExitAsync();
            await _output;
            _process.Dispose();
        }

        _folder.Dispose();
    }

    private static TaskCompletionSource<JsonElement> NewWait() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task LaunchAsync()
    {
        _process = await NodeScript.StartAsync("peer.mjs", _folder);
        _output = Task.WhenAll(ReadAsync(_process.StandardOutput), ReadErrorsAsync(_process.StandardError));
    }

    private async Task SendAsync(JsonObject command)
    {
        await _process!.StandardInput.WriteLineAsync(command.ToJsonString());
        await _process.StandardInput.FlushAsync();
    }

    private async Task<JsonElement> WaitAsync(TaskCompletionSource<JsonElement> what, TestDeadline deadline)
    {
        try
        {
            return await what.Task.WaitAsync(deadline.Token);
        }
        catch (OperationCanceledException)
        {
            throw new TestFailedException($"Node did not get there. {this}\n{string.Join('\n', Oddities.Concat(_errors).TakeLast(30))}");
        }
    }

    private async Task ReadAsync(StreamReader reader)
    {
        while (await reader.ReadLineAsync() is { } text)
        {
            var line = JsonElement.Parse(text);
            switch (line.GetProperty("is").GetString())
            {
                case "message":
                    Received(Text(line, "channel")!, Text(line, "epoch")!, Number(line, "offset"), Text(line, "key"), Text(line, "payload")!);
                    break;
                case "gap":
                    ReceivedGap(Text(line, "channel")!, Text(line, "epoch")!, Number(line, "from"), Number(line, "to"), Text(line, "reason")!);
                    break;
                case "published":
                    Answered(new PublishOutcome(
                        Text(line, "channel")!, Number(line, "n"), Text(line, "payload")!, Text(line, "epoch"), Number(line, "offset"),
                        line.GetProperty("duplicate").GetBoolean()));
                    break;
                case "failed":
                    Answered(new PublishOutcome(
                        Text(line, "channel")!, Number(line, "n"), Text(line, "payload")!, null, 0, false, Text(line, "code"),
                        line.GetProperty("unknown").GetBoolean()));
                    break;
                case "odd":
                    Oddities.Enqueue($"{Name}: {Text(line, "text")}");
                    break;
                case "ready":
                    _ready.TrySetResult(line);
                    break;
                case "done":
                    _done.TrySetResult(line);
                    break;
                case "closed":
                    _closed.TrySetResult(line);
                    break;
            }
        }

        // Whoever still waits would wait for ever.
        var ended = new TestFailedException($"{Name}: Node ended.\n{string.Join('\n', _errors)}");
        foreach (var wait in new[] { _ready, _done, _closed })
        {
            wait.TrySetException(ended);
            _ = wait.Task.Exception;
        }
    }

    private async Task ReadErrorsAsync(StreamReader reader)
    {
        while (await reader.ReadLineAsync() is { } line) _errors.Enqueue(line);
    }

    private static string? Text(JsonElement line, string name) => line.TryGetProperty(name, out var value) ? value.GetString() : null;

    private static long Number(JsonElement line, string name) => line.GetProperty(name).GetInt64();
}

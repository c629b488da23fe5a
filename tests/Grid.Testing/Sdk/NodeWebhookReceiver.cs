using System.Diagnostics;
using System.Text.Json;

namespace Grid.Testing.Sdk;

/// <summary>
/// A receiver of webhooks in Node (<c>webhook-receiver.mjs</c>) that checks what comes with the packages <c>standardwebhooks</c> and
/// <c>cloudevents</c> and with the TypeScript SDK, and answers with what each of them makes of it.
/// </summary>
public sealed class NodeWebhookReceiver : IAsyncDisposable
{
    private readonly TestFolder _folder;
    private readonly Process _process;
    private readonly Task<string> _errors;

    private NodeWebhookReceiver(TestFolder folder, Process process)
    {
        (_folder, _process) = (folder, process);
        _errors = process.StandardError.ReadToEndAsync();
    }

    /// <summary>Where it listens.</summary>
    public Uri Address { get; private set; } = null!;

    /// <summary>Starts one.</summary>
    /// <param name="secrets">What to check with, <c>whsec_…</c> and <c>whpk_…</c>; each alone.</param>
    /// <param name="deadline">When to give up.</param>
    public static async Task<NodeWebhookReceiver> StartAsync(IReadOnlyList<string> secrets, TestDeadline deadline)
    {
        ArgumentNullException.ThrowIfNull(deadline);
        var folder = new TestFolder("node");
        var receiver = new NodeWebhookReceiver(folder, await NodeScript.StartAsync("webhook-receiver.mjs", folder));
        try
        {
            await receiver.ListenAsync(secrets, deadline);
            return receiver;
        }
        catch
        {
            await receiver.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited) _process.Kill();
        await _process.WaitForExitAsync();
        await _errors;
        _process.Dispose();
        _folder.Dispose();
    }

    private async Task ListenAsync(IReadOnlyList<string> secrets, TestDeadline deadline)
    {
        try
        {
            await _process.StandardInput.WriteLineAsync(JsonSerializer.Serialize(new { secrets }));
            await _process.StandardInput.FlushAsync(deadline.Token);
        }
        catch (IOException)
        {
            // It has ended already: what it said tells why.
        }

        var line = await _process.StandardOutput.ReadLineAsync(deadline.Token);
        Address = line is null ? throw new TestFailedException($"Node ended.\n{await _errors}") : new Uri(line);
    }
}

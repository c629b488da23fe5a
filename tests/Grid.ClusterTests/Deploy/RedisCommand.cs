using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Servers;

namespace Grid.ClusterTests.Deploy;

/// <summary>The command by which containers start Redis, run by a real shell and a real Redis.</summary>
internal static class RedisCommand
{
    private const string Password = "a-secret-0123456789";

    /// <summary>
    /// Fails unless the server asks for the password, shows it on no command line, and is the process that was started: in a
    /// container that is process 1, the one that is told to stop.
    /// </summary>
    public static async Task VerifyAsync(IReadOnlyList<string> command)
    {
        Assert.Equal(["sh", "-c"], command.SkipLast(1));
        using var folder = new TestFolder("redis");
        var port = FreePort.Next();

        // The image's folder and port are taken by this test's own.
        var script = command[^1].Replace("dir /data\n", "", StringComparison.Ordinal)
            .Replace("\nrequirepass", string.Create(CultureInfo.InvariantCulture, $"\nbind 127.0.0.1\nport {port}\nrequirepass"), StringComparison.Ordinal);
        var info = new ProcessStartInfo("sh", ["-c", script]) { WorkingDirectory = folder.Path, RedirectStandardOutput = true, RedirectStandardError = true };
        info.Environment["REDISCLI_AUTH"] = Password;
        info.Environment["PATH"] = $"{Environment.GetEnvironmentVariable("PATH")}:{Path.GetDirectoryName(ServerPrograms.Find("redis-server", "redis-server"))}";
        using var process = await ProcessStarter.StartAsync(info);
        try
        {
            var (output, errors) = (process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            using var deadline = TestDeadline.In(60);
            await deadline.UntilAsync(
                async () => process.HasExited ? throw new TestFailedException(await output + await errors) : await AskAsync(port, "PING", deadline) is not null,
                () => "Redis answers");

            Assert.StartsWith("-NOAUTH", await AskAsync(port, "PING", deadline), StringComparison.Ordinal);
            Assert.Equal("+OK", await AskAsync(port, $"AUTH {Password}", deadline));
            Assert.Equal("redis-server", File.ReadAllText($"/proc/{process.Id}/comm").Trim());
            Assert.DoesNotContain(Password, File.ReadAllText($"/proc/{process.Id}/cmdline"), StringComparison.Ordinal);
            ProcessStarter.Terminate(process);
            await process.WaitForExitAsync(deadline.Token);
            Assert.Equal(0, process.ExitCode);
            Assert.True(Directory.Exists(folder["appendonlydir"]) || File.Exists(folder["appendonly.aof"]), "It kept nothing.");
        }
        finally
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
        }
    }

    private static async Task<string?> AskAsync(int port, string command, TestDeadline deadline)
    {
        try
        {
            using var client = new TcpClient();
            await client.ConnectAsync("127.0.0.1", port, deadline.Token);
            await using var stream = client.GetStream();
            await stream.WriteAsync(Encoding.ASCII.GetBytes(command + "\r\n"), deadline.Token);
            using var reader = new StreamReader(stream, Encoding.ASCII);
            return await reader.ReadLineAsync(deadline.Token);
        }
        catch (SocketException)
        {
            return null;
        }
    }
}

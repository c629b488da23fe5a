using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Grid.Testing;

namespace Grid.ClusterTests.Deploy;

/// <summary>Requests with a path exactly as written.</summary>
internal static class RawHttp
{
    /// <summary>The status of a GET.</summary>
    public static async Task<int> StatusAsync(Uri host, string path)
    {
        using var deadline = TestDeadline.In(20);
        using var client = new TcpClient();
        await client.ConnectAsync(host.Host, host.Port, deadline.Token);
        await using var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: {host.Authority}\r\nConnection: close\r\n\r\n"), deadline.Token);
        using var reader = new StreamReader(stream, Encoding.ASCII);
        var first = await reader.ReadLineAsync(deadline.Token) ?? throw new TestFailedException($"No answer to GET {path}.");
        return int.Parse(first.Split(' ')[1], CultureInfo.InvariantCulture);
    }
}

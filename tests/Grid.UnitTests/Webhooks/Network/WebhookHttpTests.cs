using System.Globalization;
using System.Net;
using Grid.Server.Webhooks.Network;
using Grid.Testing.Net;
using Microsoft.Extensions.Time.Testing;

namespace Grid.UnitTests.Webhooks.Network;

public sealed class WebhookHttpTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static WebhookNetworkOptions Options(Action<WebhookNetworkOptions>? change = null)
    {
        // The limits are above what a loaded machine needs: those that a test waits for are set by it.
        var options = new WebhookNetworkOptions { AllowPrivateNetworks = true, RequestTimeout = TimeSpan.FromMinutes(2), ConnectTimeout = TimeSpan.FromMinutes(1) };
        change?.Invoke(options);
        return options;
    }

    private static WebhookHttp Sender(WebhookNetworkOptions? options = null, TimeProvider? time = null) =>
        new(options ?? Options(), FakeResolver.Loopback, time ?? TimeProvider.System);

    private static WebhookRequest Request(int port) => new()
    {
        Url = new Uri(string.Create(CultureInfo.InvariantCulture, $"http://hooks.example.com:{port}/in?x=1")),
        Tenant = "acme",
        Body = "{\"type\":\"t\"}"u8.ToArray(),
        Headers = [new("webhook-id", "msg_1"), new("X-Own", "v"), new("Host", "other.example.com"), new("Webhook-Id", "forged")],
    };

    private static async Task<WebhookResponse> SendAsync(string answer)
    {
        await using var receiver = TcpReceiver.Answering(answer);
        using var http = Sender();
        return await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
    }

    [Fact]
    public async Task A_request_is_sent_as_it_is_and_its_connection_used_again()
    {
        var seen = new List<string>();
        await using var receiver = new TcpReceiver(async c =>
        {
            while (await c.ReadRequestAsync() is { } request)
            {
                lock (seen) seen.Add(request);
                await c.SendAsync(Ok);
            }
        });
        using var http = Sender();
        for (var i = 0; i < 3; i++)
        {
            var response = await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
            Assert.True(response.IsSuccess, response.Detail);
            Assert.Equal((200, "ok", 2, false), (response.Status, response.Body, response.BodyBytes, response.BodyClipped));
            Assert.Null(response.Detail);
        }

        Assert.Equal(1, receiver.Connections);
        var lines = seen[0].Split("\r\n");
        Assert.Equal("POST /in?x=1 HTTP/1.1", lines[0]);
        Assert.Contains($"Host: hooks.example.com:{receiver.Port}", lines);
        Assert.Contains("webhook-id: msg_1", lines);
        Assert.Contains("X-Own: v", lines);
        Assert.Contains("Content-Type: application/json", lines);
        Assert.Contains(lines, static l => l.StartsWith("User-Agent: Grid-Webhooks/", StringComparison.Ordinal));
        Assert.Equal("{\"type\":\"t\"}", lines[^1]);
        foreach (var unwanted in (string[])["forged", "other.example.com", "traceparent", "Accept-Encoding", "Cookie", "Request-Id", "Expect"])
            Assert.DoesNotContain(unwanted, seen[0], StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [InlineData(204, nameof(WebhookErrorClass.None))]
    [InlineData(301, nameof(WebhookErrorClass.Redirect))]
    [InlineData(307, nameof(WebhookErrorClass.Redirect))]
    [InlineData(400, nameof(WebhookErrorClass.Status))]
    [InlineData(407, nameof(WebhookErrorClass.Status))]
    [InlineData(410, nameof(WebhookErrorClass.Status))]
    [InlineData(500, nameof(WebhookErrorClass.Status))]
    public async Task A_status_decides(int status, string error)
    {
        var response = await SendAsync($"HTTP/1.1 {status} X\r\nLocation: http://169.254.169.254/\r\n{(status == 204 ? "" : "Content-Length: 0\r\n")}\r\n");
        Assert.Equal(status, response.Status);
        Assert.Equal(Enum.Parse<WebhookErrorClass>(error), response.Error);
        Assert.Equal(status != 204, response.IsEndpointFault);
    }

    [Fact]
    public async Task A_redirect_is_not_followed_and_no_cookie_kept()
    {
        await using var other = TcpReceiver.Answering(Ok);
        var seen = new List<string>();
        await using var receiver = new TcpReceiver(async c =>
        {
            while (await c.ReadRequestAsync() is { } request)
            {
                seen.Add(request);
                await c.SendAsync($"HTTP/1.1 302 Found\r\nSet-Cookie: a=b\r\nLocation: http://hooks.example.com:{other.Port}/\r\nContent-Length: 0\r\n\r\n");
            }
        });
        using var http = Sender();
        for (var i = 0; i < 2; i++) Assert.Equal(WebhookErrorClass.Redirect, (await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience)).Error);
        Assert.Equal(0, other.Connections);
        Assert.DoesNotContain("Cookie", seen[1], StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [InlineData("120", 120.0)]
    [InlineData("Sun, 01 Mar 2026 12:01:30 GMT", 90.0)]
    [InlineData("Sun, 01 Mar 2020 12:00:00 GMT", 0.0)]
    [InlineData("1000000", 86400.0)]
    [InlineData("whenever", null)]
    public async Task Retry_after_is_read_by_the_given_clock(string value, double? seconds)
    {
        await using var receiver = TcpReceiver.Answering($"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        using var http = Sender(time: new FakeTimeProvider(new DateTimeOffset(2026, 3, 1, 12, 0, 0, TimeSpan.Zero)));
        var response = await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
        Assert.Equal((429, WebhookErrorClass.Status, seconds), (response.Status!.Value, response.Error, response.RetryAfter?.TotalSeconds));
    }

    [Fact]
    public async Task Headers_that_the_caller_asks_for_are_told()
    {
        await using var receiver = TcpReceiver.Answering("HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: a.example, b.example\r\nwebhook-allowed-origin: grid.example\r\nAllow: POST\r\nX-Other: 1\r\nContent-Length: 0\r\n\r\n");
        using var http = Sender();
        var request = Request(receiver.Port) with { Method = HttpMethod.Options, Body = default, AnswerHeaders = ["WebHook-Allowed-Origin", "allow", "X-None"] };
        var response = await http.SendAsync(request).WaitAsync(Patience);
        Assert.Equal(["a.example, b.example", "grid.example"], response.Headers["webhook-allowed-origin"]);
        Assert.Equal(["POST"], response.Headers["Allow"]);
        Assert.Equal(2, response.Headers.Count);
    }

    [Fact]
    public async Task Nobody_there_is_a_failed_connection()
    {
        int port;
        await using (var receiver = TcpReceiver.Answering(Ok)) port = receiver.Port;
        using var http = Sender();
        var response = await http.SendAsync(Request(port)).WaitAsync(Patience);
        Assert.Equal((WebhookErrorClass.Connect, "The connection was refused.", null), (response.Error, response.Detail, response.Status));
    }

    [Fact]
    public async Task A_refused_address_is_told_as_such_without_a_connection()
    {
        await using var receiver = TcpReceiver.Answering(Ok);
        using var http = Sender(Options(o => (o.AllowPrivateNetworks, o.AllowHttp) = (false, true)).With(receiver.Port));
        var response = await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
        Assert.Equal(WebhookErrorClass.RefusedAddress, response.Error);
        Assert.DoesNotContain("127", response.Detail, StringComparison.Ordinal);
        Assert.Equal(0, receiver.Connections);

        using var strict = Sender(Options(static o => o.AllowPrivateNetworks = false));
        Assert.Equal(WebhookErrorClass.RefusedAddress, (await strict.SendAsync(Request(443))).Error);
    }

    [Fact]
    public async Task A_name_without_address_is_told_as_such()
    {
        using var http = new WebhookHttp(Options(), new FakeResolver(), TimeProvider.System);
        Assert.Equal(WebhookErrorClass.Dns, (await http.SendAsync(Request(443)).WaitAsync(Patience)).Error);
    }

    [Fact]
    public async Task A_receiver_that_hangs_is_left_after_fifteen_seconds_by_the_clock()
    {
        var time = new FakeTimeProvider();
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var receiver = new TcpReceiver(async c =>
        {
            await c.ReadRequestAsync();
            asked.TrySetResult();
            await c.HangAsync();
        });
        using var http = Sender(Options(static o => o.RequestTimeout = new WebhookNetworkOptions().RequestTimeout), time);
        var send = http.SendAsync(Request(receiver.Port));
        await asked.Task.WaitAsync(Patience);
        time.Advance(TimeSpan.FromSeconds(14.9));
        Assert.False(send.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(0.1));
        var response = await send.WaitAsync(Patience);
        Assert.Equal((WebhookErrorClass.Timeout, null, TimeSpan.FromSeconds(15)), (response.Error, response.Status, response.Duration));
    }

    [Fact]
    public async Task An_answer_of_a_byte_a_second_is_not_waited_for()
    {
        var time = new FakeTimeProvider();
        await using var receiver = new TcpReceiver(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
            while (true)
            {
                await c.SendAsync("x");
                time.Advance(TimeSpan.FromSeconds(1));
                await Task.Yield();
            }
        });
        using var http = Sender(Options(static o => o.RequestTimeout = TimeSpan.FromSeconds(15)), time);
        var response = await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
        Assert.Equal(WebhookErrorClass.Timeout, response.Error);
        Assert.False(response.IsSuccess);
        Assert.True(response.Duration >= TimeSpan.FromSeconds(15));
    }

    [Fact]
    public async Task A_connection_that_is_never_made_ends_by_its_own_limit()
    {
        // The name is never looked up, and the limits on that and on the whole are longer.
        var options = Options(static o => (o.ConnectTimeout, o.ResolveTimeout) = (TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(5)));
        using var http = new WebhookHttp(options, new Never(), TimeProvider.System);
        var response = await http.SendAsync(Request(443)).WaitAsync(Patience);
        Assert.Equal(WebhookErrorClass.Timeout, response.Error);
    }

    [Fact]
    public async Task A_reset_before_and_in_the_answer_is_told_as_such()
    {
        string[] parts =
        [
            "", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ];
        foreach (var part in parts)
        {
            foreach (var reset in (bool[])[true, false])
            {
                await using var receiver = new TcpReceiver(async c =>
                {
                    await c.ReadRequestAsync();
                    await c.SendAsync(part);
                    if (reset) c.Reset();
                });
                using var http = Sender();
                var response = await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
                Assert.Equal((part, reset, WebhookErrorClass.Reset), (part, reset, response.Error));
                if (!reset && part.EndsWith("half", StringComparison.Ordinal)) Assert.Equal((200, "half"), (response.Status!.Value, response.Body));
            }
        }
    }

    [Theory]
    [InlineData("SSH-2.0-OpenSSH_9.6\r\n\r\n")]
    [InlineData("HTTP/1.1 abc\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")]
    public async Task What_is_not_http_is_told_as_such(string answer) => Assert.Equal(WebhookErrorClass.Protocol, (await SendAsync(answer)).Error);

    [Fact]
    public async Task Endless_headers_are_not_read()
    {
        await using var receiver = new TcpReceiver(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync("HTTP/1.1 200 OK\r\n");
            while (true) await c.SendAsync($"X-More: {new string('x', 1000)}\r\n");
        });
        using var http = Sender();
        Assert.Equal(WebhookErrorClass.Protocol, (await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience)).Error);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Of_an_answer_of_a_gigabyte_only_the_beginning_is_read(bool chunked)
    {
        var sent = 0L;
        var broke = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var receiver = new TcpReceiver(async c =>
        {
            await c.ReadRequestAsync();
            await c.SendAsync(chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" : $"HTTP/1.1 200 OK\r\nContent-Length: {1 << 30}\r\n\r\n");
            var block = new string('x', 0x4000);
            try
            {
                while (sent < 1 << 30)
                {
                    await c.SendAsync(chunked ? $"4000\r\n{block}\r\n" : block);
                    sent += block.Length;
                }
            }
            catch (IOException)
            {
                broke.TrySetResult();
            }
        });
        using var http = Sender();
        var response = await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
        Assert.True(response.IsSuccess, response.Detail);
        Assert.Equal(65536, response.BodyBytes);
        Assert.Equal(new string('x', 16384), response.Body);
        Assert.True(response.BodyClipped);
        await broke.Task.WaitAsync(Patience);

        // What is beyond lies in the buffers of two sockets.
        Assert.True(sent < 64 << 20, $"{sent} bytes were taken");
    }

    [Theory]
    [InlineData(16384, false)]
    [InlineData(16385, true)]
    [InlineData(65536, true)]
    public async Task Up_to_the_limit_the_connection_is_used_again(int length, bool clipped)
    {
        await using var receiver = TcpReceiver.Answering($"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{new string('y', length)}");
        using var http = Sender();
        for (var i = 0; i < 3; i++)
        {
            var response = await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience);
            Assert.Equal((length, clipped, 16384), (response.BodyBytes, response.BodyClipped, response.Body.Length));
        }

        Assert.Equal(1, receiver.Connections);
    }

    [Fact]
    public async Task A_compressed_answer_is_not_unpacked()
    {
        var response = await SendAsync("HTTP/1.1 500 X\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00");
        Assert.Equal((WebhookErrorClass.Status, "", true, 4), (response.Error, response.Body, response.BodyClipped, response.BodyBytes));
    }

    [Fact]
    public async Task A_caller_that_gives_up_is_told_so()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var receiver = new TcpReceiver(async c =>
        {
            await c.ReadRequestAsync();
            asked.TrySetResult();
            await c.HangAsync();
        });
        using var http = Sender();
        using var cancel = new CancellationTokenSource();
        var send = http.SendAsync(Request(receiver.Port), cancel.Token);
        await asked.Task.WaitAsync(Patience);
        await cancel.CancelAsync();
        var response = await send.WaitAsync(Patience);
        Assert.Equal((WebhookErrorClass.Cancelled, false), (response.Error, response.IsEndpointFault));
        Assert.Equal(WebhookErrorClass.Cancelled, (await http.SendAsync(Request(receiver.Port), cancel.Token)).Error);
    }

    [Fact]
    public async Task An_endpoint_that_comes_back_is_reached_again()
    {
        var up = false;
        await using var receiver = new TcpReceiver(async c =>
        {
            while (await c.ReadRequestAsync() is not null)
            {
                if (!up) return;
                await c.SendAsync(Ok);
            }
        });
        using var http = Sender();
        for (var i = 0; i < 6; i++)
        {
            up = i % 2 == 1;
            Assert.Equal(up ? WebhookErrorClass.None : WebhookErrorClass.Reset, (await http.SendAsync(Request(receiver.Port)).WaitAsync(Patience)).Error);
        }
    }

    private sealed class Never : IHostResolver
    {
        public Task<IPAddress[]> ResolveAsync(string host, string tenant) => new TaskCompletionSource<IPAddress[]>().Task;
    }
}

internal static class WebhookNetworkOptionsExtensions
{
    /// <summary>The same settings with one port allowed.</summary>
    public static WebhookNetworkOptions With(this WebhookNetworkOptions options, int port)
    {
        options.AllowedPorts.Add(port);
        return options;
    }
}

using System.Globalization;
using System.Text;
using Grid.Testing.Net;

namespace Grid.Testing.Webhooks;

/// <summary>Answers a request, or does not.</summary>
public delegate Task ReceiverAnswer(ReceiverExchange exchange);

/// <summary>A request that waits for its answer.</summary>
public sealed class ReceiverExchange
{
    internal ReceiverExchange(TcpReceiverConnection connection, ReceivedWebhook request) => (Connection, Request) = (connection, request);

    /// <summary>The connection.</summary>
    public TcpReceiverConnection Connection { get; }

    /// <summary>The request.</summary>
    public ReceivedWebhook Request { get; }

    /// <summary>Answers.</summary>
    public async Task RespondAsync(int status, string body = "", params (string Name, string Value)[] headers)
    {
        var bytes = Encoding.UTF8.GetBytes(body);
        var head = Head(status, bytes.Length, headers);
        await Connection.Stream.WriteAsync((byte[])[.. Encoding.Latin1.GetBytes(head), .. bytes], Connection.Stop);
        Request.AnswerBytes = bytes.Length;
        Request.Answered = status;
    }

    /// <summary>The head of an answer.</summary>
    public static string Head(int status, long length, params (string Name, string Value)[] headers)
    {
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"HTTP/1.1 {status} Status\r\n");
        foreach (var (name, value) in headers) text.Append(CultureInfo.InvariantCulture, $"{name}: {value}\r\n");
        if (status is not 204 and not 304) text.Append(CultureInfo.InvariantCulture, $"Content-Length: {length}\r\n");
        return text.Append("\r\n").ToString();
    }
}

/// <summary>What receivers answer.</summary>
public static class Answers
{
    /// <summary>204.</summary>
    public static ReceiverAnswer NoContent { get; } = Status(204);

    /// <summary>Nothing, until the sender gives up.</summary>
    public static ReceiverAnswer Hang { get; } = static exchange => exchange.Connection.GoneAsync();

    /// <summary>The beginning of an answer, and then a reset.</summary>
    public static ReceiverAnswer ResetMidBody { get; } = static async exchange =>
    {
        await exchange.Connection.SendAsync(ReceiverExchange.Head(200, 1000) + "the beginning");
        exchange.Connection.Reset();
    };

    /// <summary>A reset before any answer.</summary>
    public static ReceiverAnswer Reset { get; } = static exchange =>
    {
        exchange.Connection.Reset();
        return Task.CompletedTask;
    };

    /// <summary>Bytes that are no HTTP.</summary>
    public static ReceiverAnswer Garbage { get; } = static async exchange =>
    {
        await exchange.Connection.SendAsync("SSH-2.0-nobody\r\n\r\n");
        exchange.Connection.Reset();
    };

    /// <summary>410.</summary>
    public static ReceiverAnswer Gone { get; } = Status(410);

    /// <summary>A status, with headers.</summary>
    public static ReceiverAnswer Status(int status, params (string Name, string Value)[] headers) => exchange => exchange.RespondAsync(status, "", headers);

    /// <summary>A status with a body.</summary>
    public static ReceiverAnswer Body(int status, string body) => exchange => exchange.RespondAsync(status, body);

    /// <summary>A redirect.</summary>
    public static ReceiverAnswer Redirect(string to, int status = 302) => Status(status, ("Location", to));

    /// <summary>429 or 503 with <c>Retry-After</c> in seconds.</summary>
    public static ReceiverAnswer RetryAfter(int status, int seconds) => Status(status, ("Retry-After", seconds.ToString(CultureInfo.InvariantCulture)));

    /// <summary>429 or 503 with <c>Retry-After</c> as a date.</summary>
    public static ReceiverAnswer RetryAt(int status, DateTimeOffset at) => Status(status, ("Retry-After", at.ToString("R", CultureInfo.InvariantCulture)));

    /// <summary>A 200 whose body comes byte by byte, without end.</summary>
    public static ReceiverAnswer Trickle(TimeSpan interval) => async exchange =>
    {
        await exchange.Connection.SendAsync(ReceiverExchange.Head(200, 1_000_000));
        using var timer = new PeriodicTimer(interval);
        while (await timer.WaitForNextTickAsync(exchange.Connection.Stop))
        {
            await exchange.Connection.SendAsync(".");
            exchange.Request.AnswerBytes++;
        }
    };

    /// <summary>A 200 with a body of so many bytes, as fast as they are taken.</summary>
    public static ReceiverAnswer Flood(long bytes) => async exchange =>
    {
        await exchange.Connection.SendAsync(ReceiverExchange.Head(200, bytes));
        var chunk = new byte[16 * 1024];
        Array.Fill(chunk, (byte)'x');
        while (exchange.Request.AnswerBytes < bytes)
        {
            var size = (int)Math.Min(chunk.Length, bytes - exchange.Request.AnswerBytes);
            await exchange.Connection.Stream.WriteAsync(chunk.AsMemory(0, size), exchange.Connection.Stop);
            exchange.Request.AnswerBytes += size;
        }

        exchange.Request.Answered = 200;
    };

    /// <summary>One answer to the first requests, another to all later ones.</summary>
    /// <param name="count">How many are the first.</param>
    /// <param name="first">Their answer.</param>
    /// <param name="then">The later ones'; 204 unless given.</param>
    public static ReceiverAnswer First(int count, ReceiverAnswer first, ReceiverAnswer? then = null)
    {
        var left = count;
        return exchange => Interlocked.Decrement(ref left) >= 0 ? first(exchange) : (then ?? NoContent)(exchange);
    }

    /// <summary>By turns so many of one answer, then one of another.</summary>
    public static ReceiverAnswer Flap(int failures, ReceiverAnswer failing, ReceiverAnswer? well = null)
    {
        var count = -1;
        return exchange => Interlocked.Increment(ref count) % (failures + 1) < failures ? failing(exchange) : (well ?? NoContent)(exchange);
    }

    /// <summary>Nothing until something is done; then another answer.</summary>
    public static ReceiverAnswer After(Task release, ReceiverAnswer? then = null) => async exchange =>
    {
        await release.WaitAsync(exchange.Connection.Stop);
        await (then ?? NoContent)(exchange);
    };
}

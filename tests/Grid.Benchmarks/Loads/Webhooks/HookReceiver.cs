using System.Buffers.Text;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Grid.Benchmarks.Net;
using Grid.Benchmarks.Servers;
using Grid.Testing;

namespace Grid.Benchmarks.Loads.Webhooks;

/// <summary>
/// The endpoint of all webhooks of a run: a process with one thread over <c>epoll</c> that answers every request at once, so that it
/// takes as little as possible from who is measured. It listens at every address of the loopback, each of which is an endpoint of its own.
/// </summary>
internal sealed class HookReceiver : IDisposable
{
    private readonly ChildProcess _process;
    private readonly Socket _refusing;
    private readonly int _port;
    private readonly string _file;

    private HookReceiver(ChildProcess process, Socket refusing, int port, string file) =>
        (_process, _refusing, _port, _file, Tally) = (process, refusing, port, file, Tally.Open(file));

    /// <summary>The verb of the process; not for people.</summary>
    public const string Verb = "receive";

    /// <summary>What it counts.</summary>
    public Tally Tally { get; }

    /// <summary>The file of <see cref="Tally"/>.</summary>
    public string File => _file;

    /// <summary>What it used.</summary>
    public ProcessUsage Usage => ProcessUsage.Of(_process.Id);

    /// <summary>Starts it.</summary>
    public static HookReceiver Start()
    {
        var (file, port) = (Path.GetTempFileName(), FreePort.Next());
        var process = ChildProcess.Start(
            "dotnet",
            [typeof(HookReceiver).Assembly.Location, Verb, file, port.ToString(CultureInfo.InvariantCulture)],
            new Dictionary<string, string>(),
            Path.GetTempPath());

        // Bound, and not listening: the system refuses who connects, and gives the port to nobody else.
        var refusing = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        refusing.Bind(new IPEndPoint(IPAddress.Any, 0));
        process.WaitUntilListening(new IPEndPoint(IPAddress.Loopback, port), TimeSpan.FromSeconds(20), "The receiver");
        return new HookReceiver(process, refusing, port, file);
    }

    /// <summary>The URL of an endpoint: each number, up to 60,000 for each group, has an address of its own.</summary>
    public Uri Url(int group, int number, HookPath path) => new(
        string.Create(CultureInfo.InvariantCulture, $"http://{Host(group, number)}:{_port}/{"hxql"[(int)path]}"));

    /// <summary>The URL of an endpoint that refuses connections.</summary>
    public Uri Refusing(int group, int number) => new(
        string.Create(CultureInfo.InvariantCulture, $"http://{Host(group, number)}:{((IPEndPoint)_refusing.LocalEndPoint!).Port}/r"));

    private static string Host(int group, int number) =>
        string.Create(CultureInfo.InvariantCulture, $"127.{group + 1}.{number / 250}.{(number % 250) + 1}");

    /// <summary>Ends the run when something came that no webhook is.</summary>
    public void ThrowOnFault()
    {
        if (_process.Ending is { } ending) throw new BenchmarkException("The receiver " + ending);
        if (Tally.Bad > 0) throw new BenchmarkException($"The receiver did not understand {Tally.Bad} requests.");
    }

    public void Dispose()
    {
        _process.Dispose();
        _refusing.Dispose();
        Tally.Dispose();
        System.IO.File.Delete(_file);
    }

    /// <summary>The process: receives until it is killed.</summary>
    public static void Run(string[] arguments)
    {
        if (arguments is not [_, var file, var port]) throw new BenchmarkException("receive FILE PORT");
        using var tally = Tally.Open(file);
        new Listener(tally).Serve(int.Parse(port, CultureInfo.InvariantCulture));
    }

    private sealed unsafe class Listener(Tally tally)
    {
        private const int MaxEvents = 512;
        private const int MaxRequest = 1024 * 1024;
        private const int Packed = 12;
        private const int Aligned = 16;

        private static readonly int EventBytes = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? Packed : Aligned;

        private readonly byte[] _buffer = GC.AllocateArray<byte>(MaxRequest, pinned: true);
        private readonly Dictionary<int, byte[]> _cutOff = [];
        private readonly int _epoll = Libc.Check(Libc.epoll_create1(0x80000));

        private static ReadOnlySpan<byte> Ok => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"u8;

        private static ReadOnlySpan<byte> Later => "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"u8;

        public void Serve(int port)
        {
            var listener = Libc.Listen(port);
            Watch(listener);
            var events = GC.AllocateArray<byte>(MaxEvents * Aligned, pinned: true);
            var timeout = new Libc.Timespec { Seconds = 10 };
            while (true)
            {
                int ready;
                fixed (byte* p = events) ready = Libc.epoll_pwait2(_epoll, p, MaxEvents, &timeout, null);
                for (var i = 0; i < ready; i++)
                {
                    var fd = MemoryMarshal.Read<int>(events.AsSpan((i * EventBytes) + (EventBytes - 8)));
                    if (fd == listener) AcceptAll(listener);
                    else Read(fd);
                }
            }
        }

        private void Watch(int fd)
        {
            var change = stackalloc byte[Aligned];
            new Span<byte>(change, Aligned).Clear();
            *(uint*)change = Libc.EpollIn;
            *(int*)(change + EventBytes - 8) = fd;
            Libc.Check(Libc.epoll_ctl(_epoll, Libc.EpollAdd, fd, change));
        }

        private void AcceptAll(int listener)
        {
            while (Libc.Accept(listener) is >= 0 and var fd) Watch(fd);
        }

        private void Read(int fd)
        {
            var length = 0;
            if (_cutOff.Remove(fd, out var before))
            {
                before.CopyTo(_buffer, 0);
                length = before.Length;
            }

            var got = Libc.Receive(fd, _buffer.AsSpan(length));
            if (got <= 0)
            {
                if (got == 0 || Marshal.GetLastPInvokeError() is not (Libc.EAgain or Libc.EIntr)) _ = Libc.close(fd);
                else if (length > 0) _cutOff[fd] = before!;
                return;
            }

            ReadOnlySpan<byte> rest = _buffer.AsSpan(0, length + got);
            while (Request(rest, out var request)) rest = rest[Take(fd, request)..];
            if (rest.Length > 0) _cutOff[fd] = rest.ToArray();
        }

        /// <summary>A whole request at the beginning of what came.</summary>
        private static bool Request(ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> request)
        {
            request = default;
            var end = bytes.IndexOf("\r\n\r\n"u8);
            if (end < 0) return false;
            var at = bytes[..end].IndexOf("Content-Length: "u8);
            var body = at >= 0 && Utf8Parser.TryParse(bytes[(at + 16)..], out int length, out _) ? length : 0;
            if (bytes.Length < end + 4 + body) return false;
            request = bytes[..(end + 4 + body)];
            return true;
        }

        private int Take(int fd, ReadOnlySpan<byte> request)
        {
            if (!request.StartsWith("POST /"u8) || "hxql"u8.IndexOf(request[6]) is not (>= 0 and var kind))
            {
                tally.Bad++;
                return request.Length;
            }

            var path = (HookPath)kind;
            if (path == HookPath.Healthy && Stamp.Ticks(request) is > 0 and var sent)
                tally.Note((Stopwatch.GetTimestamp() - sent) * (1_000_000_000 / Stopwatch.Frequency));
            if (path != HookPath.Quiet) _ = Libc.Send(fd, path == HookPath.Later ? Later : Ok);
            Volatile.Write(ref tally.Of(path), tally.Of(path) + 1);
            return request.Length;
        }
    }
}

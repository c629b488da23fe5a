using System.Runtime.InteropServices;

namespace Grid.Benchmarks.Net;

/// <summary>
/// The system calls of the load generator. The runtime's sockets cost a task or an event object per operation; a generator that shares
/// two cores with the server it loads has to be much cheaper than it.
/// </summary>
internal static unsafe partial class Libc
{
    public const int EAgain = 11;
    public const int EIntr = 4;

    public const uint EpollIn = 0x1;
    public const uint EpollOut = 0x4;
    public const uint EpollErr = 0x8;
    public const uint EpollHup = 0x10;

    public const int EpollAdd = 1;
    public const int EpollDelete = 2;
    public const int EpollModify = 3;

    public const int SolSocket = 1;
    public const int SoReceiveBuffer = 8;
    public const int SoLinger = 13;
    public const int SoReuseAddress = 2;
    public const int IpProtoTcp = 6;
    public const int TcpNoDelay = 1;

    private const int AfInet = 2;
    private const int SockStream = 1;
    private const int SockCloExec = 0x80000;
    private const int MsgNoSignal = 0x4000;
    private const int SetFlags = 4;
    private const int NonBlocking = 0x800;
    private const int Backlog = 4096;

    [StructLayout(LayoutKind.Sequential)]
    public struct Timespec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    /// <summary>A connected, non-blocking socket to an address of this machine.</summary>
    public static int Connect(ReadOnlySpan<byte> address, int port, int receiveBuffer)
    {
        var fd = Check(socket(AfInet, SockStream | SockCloExec, 0));
        try
        {
            var on = 1;
            Check(setsockopt(fd, IpProtoTcp, TcpNoDelay, &on, sizeof(int)));
            if (receiveBuffer > 0) Check(setsockopt(fd, SolSocket, SoReceiveBuffer, &receiveBuffer, sizeof(int)));

            // Closing resets: tens of thousands of sockets in TIME_WAIT would use up the ports for the next run.
            long linger = 1;
            Check(setsockopt(fd, SolSocket, SoLinger, &linger, sizeof(long)));
            var target = stackalloc byte[16];
            new Span<byte>(target, 16).Clear();
            target[0] = AfInet;
            target[2] = (byte)(port >> 8);
            target[3] = (byte)port;
            address.CopyTo(new Span<byte>(target + 4, 4));
            Check(connect(fd, target, 16));
            Check(fcntl(fd, SetFlags, NonBlocking));
            return fd;
        }
        catch
        {
            _ = close(fd);
            throw;
        }
    }

    /// <summary>A non-blocking socket that accepts connections to a port at every address of the loopback.</summary>
    public static int Listen(int port)
    {
        var fd = Check(socket(AfInet, SockStream | SockCloExec | NonBlocking, 0));
        var on = 1;
        Check(setsockopt(fd, SolSocket, SoReuseAddress, &on, sizeof(int)));
        var own = stackalloc byte[16];
        new Span<byte>(own, 16).Clear();
        own[0] = AfInet;
        own[2] = (byte)(port >> 8);
        own[3] = (byte)port;
        Check(bind(fd, own, 16));
        Check(listen(fd, Backlog));
        return fd;
    }

    /// <summary>The next connection, non-blocking; below zero when there is none.</summary>
    public static int Accept(int listener)
    {
        var fd = accept4(listener, null, null, SockCloExec | NonBlocking);
        if (fd < 0) return fd;
        var on = 1;
        Check(setsockopt(fd, IpProtoTcp, TcpNoDelay, &on, sizeof(int)));
        return fd;
    }

    public static int Receive(int fd, Span<byte> into)
    {
        fixed (byte* p = into) return (int)recv(fd, p, (nuint)into.Length, 0);
    }

    public static int Send(int fd, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* p = bytes) return (int)send(fd, p, (nuint)bytes.Length, MsgNoSignal);
    }

    public static int Check(int result) => result >= 0
        ? result
        : throw new IOException($"A system call failed: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");

    [LibraryImport("libc", SetLastError = true)]
    public static partial int epoll_create1(int flags);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int epoll_ctl(int epoll, int operation, int fd, void* change);

    /// <summary>Waits with nanoseconds: a rate of thousands a second needs shorter waits than epoll_wait's milliseconds.</summary>
    [LibraryImport("libc", SetLastError = true)]
    public static partial int epoll_pwait2(int epoll, void* events, int maxEvents, Timespec* timeout, void* mask);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int fd);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int kill(int pid, int signal);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int socket(int domain, int type, int protocol);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int connect(int fd, byte* address, int length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int bind(int fd, byte* address, int length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int listen(int fd, int backlog);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int accept4(int fd, byte* address, int* length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int setsockopt(int fd, int level, int name, void* value, int length);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fcntl(int fd, int command, int argument);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint recv(int fd, byte* buffer, nuint length, int flags);

    [LibraryImport("libc", SetLastError = true)]
    private static partial nint send(int fd, byte* buffer, nuint length, int flags);
}

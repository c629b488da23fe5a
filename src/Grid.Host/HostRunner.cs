using System.Data.Common;
using Grid.Server.Hosting;
using Microsoft.Extensions.Options;

namespace Grid.Host;

/// <summary>Runs the host, and turns what can go wrong at the start into one plain sentence and a clean exit.</summary>
internal static class HostRunner
{
    /// <summary>Where the host listens unless it is told otherwise.</summary>
    public const string DefaultUrl = "http://localhost:8080";

    /// <summary>Exit code of a start that was refused (EX_CONFIG of sysexits.h).</summary>
    private const int Refused = 78;

    /// <summary>Exit code of a start that may succeed another time (EX_TEMPFAIL of sysexits.h).</summary>
    private const int TryAgain = 75;

    /// <summary>Builds and runs the application; returns the process's exit code.</summary>
    public static async Task<int> RunAsync(string[] args, Action<WebApplicationBuilder> configure, Action<WebApplication> map)
    {
        var started = false;
        using var signals = new StopSignals();
        try
        {
            var builder = WebApplication.CreateBuilder(new WebApplicationOptions
            {
                Args = args,

                // The page and the settings lie beside the program, wherever it is started from.
                ContentRootPath = AppContext.BaseDirectory,
            });
            if (string.IsNullOrEmpty(builder.Configuration[WebHostDefaults.ServerUrlsKey])) builder.WebHost.UseUrls(DefaultUrl);
            configure(builder);

            // What goes wrong at the start is said once, in plain words, below; not a second time with a stack trace.
            foreach (var category in (string[])["Microsoft.Extensions.Hosting.Internal.Host", "Microsoft.AspNetCore.Server.Kestrel"])
                builder.Logging.AddFilter(category, level => started && level >= LogLevel.Warning);

            // Not to be turned on by a setting: its line for each request has the query string in it, where a token may be. And while it may
            // log anything it keeps an activity and a scope for each socket.
            builder.Logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
            await using var app = builder.Build();
            app.Lifetime.ApplicationStarted.Register(() => started = true);

            // One that comes before the web host listens for it counts for that too.
            await using var stop = signals.Requested.Register(app.Lifetime.StopApplication);
            ListenAddresses.CheckFree(app.Configuration[WebHostDefaults.ServerUrlsKey]);
            await app.Services.OpenGridStoreAsync(signals.Requested);
            map(app);
            await app.RunAsync();
            return 0;
        }
        catch (Exception e) when (Explain(e) is { } reason)
        {
            await Console.Error.WriteLineAsync($"Grid cannot start: {reason}");
            return Chain(e).OfType<GridStartupException>().Any(refusal => refusal.MayPass) ? TryAgain : Refused;
        }
        catch (Exception) when (!started && signals.Requested.IsCancellationRequested)
        {
            // Whatever it was that did not come to its end. Nobody was served yet, and a silo that had begun to join marks itself dead
            // as it is disposed of.
            Console.WriteLine("Grid was asked to stop before it was up, and ends.");
            return 0;
        }
        catch (Exception e) when (!started && Chain(e).OfType<DbException>().FirstOrDefault() is { } away)
        {
            // It was there a moment ago, when the store was opened; the silo that was about to join its cluster needs it too.
            await Console.Error.WriteLineAsync($"Grid cannot start: the database went away meanwhile ({away.Message}). Start it again.");
            return TryAgain;
        }
    }

    private static IEnumerable<Exception> Chain(Exception? exception)
    {
        for (; exception is not null; exception = exception.InnerException) yield return exception;
    }

    private static string? Explain(Exception exception)
    {
        foreach (var e in Chain(exception))
        {
            switch (e)
            {
                case GridStartupException:
                    return e.Message;
                case OptionsValidationException invalid:
                    return string.Join(Environment.NewLine + "  ", ["The settings are not valid:", .. invalid.Failures]);
                case InvalidOperationException { InnerException: FormatException or ArgumentException } unreadable:
                    return $"A setting cannot be read: {unreadable.Message}";
                case FormatException:
                    return $"A setting cannot be read: {e.Message}";
                case Microsoft.AspNetCore.Connections.AddressInUseException:
                    return $"{e.Message} {ListenAddresses.Advice}";
            }

            if (e is AggregateException { InnerExceptions: [var only] } && Explain(only) is { } inner) return inner;
        }

        return null;
    }
}

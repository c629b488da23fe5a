using Grid.Abstractions;
using Grid.Server.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Grid.Server.Api;

/// <summary>
/// Turns whatever a handler throws into a problem: a backend that is away into 503, a body that cannot be read into 400 or 413, and
/// the rest into a bare 500 whose cause stands in the log only.
/// </summary>
internal sealed partial class ApiExceptionFilter(ILogger<ApiExceptionFilter> logger) : IEndpointFilter
{
    /// <inheritdoc/>
    public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        var http = context.HttpContext;
        try
        {
            return await next(context);
        }
        catch (Exception e)
        {
            // The client is gone: nobody reads an answer.
            if (http.RequestAborted.IsCancellationRequested) return Results.Empty;

            var problem = ToProblem(e);
            if (problem.Code == ErrorCode.Internal) LogFault(e, http.Request.Method, http.Request.Path);
            if (!http.Response.HasStarted) return problem;

            // Half an answer must not look like a whole one.
            http.Abort();
            return Results.Empty;
        }
    }

    /// <summary>Whether an exception says that something which the request needs is away, and that trying again makes sense.</summary>
    public static bool IsUnavailable(Exception e) =>
        Outage.Is(e) || e is ObjectDisposedException;

    private static GridProblem ToProblem(Exception e) => e switch
    {
        GridProblemException known => known.Problem,
        TooManyChannelsException => new(ErrorCode.QuotaExceeded, e.Message),
        BadHttpRequestException { StatusCode: StatusCodes.Status413PayloadTooLarge } => RequestBody.TooLarge(),
        BadHttpRequestException { StatusCode: StatusCodes.Status408RequestTimeout } =>
            new(ErrorCode.BadFrame, "The body came too slowly.", StatusCodes.Status408RequestTimeout),
        BadHttpRequestException => GridProblem.BadRequest("The request could not be read."),
        _ when IsUnavailable(e) => GridProblem.Unavailable(),
        _ => new(ErrorCode.Internal, "A fault in the server ended this request."),
    };

    [LoggerMessage(Level = LogLevel.Error, Message = "{Method} {Path} ended with a fault")]
    private partial void LogFault(Exception exception, string method, string path);
}

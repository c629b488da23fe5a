using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Grid.Protocol;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;

namespace Grid.Server.Api;

/// <summary>
/// A refusal as <c>application/problem+json</c> (RFC 9457) with the member <c>code</c>. Every error of the API is written here, so
/// that all look alike and none carries an exception's text.
/// </summary>
internal sealed class GridProblem(ErrorCode code, string detail, int? status = null, long? retryAfterMs = null) : IResult
{
    /// <summary>The media type.</summary>
    public const string MediaType = "application/problem+json";

    private static readonly JsonWriterOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Why.</summary>
    public ErrorCode Code => code;

    /// <summary>For a person.</summary>
    public string Detail => detail;

    /// <summary>The HTTP status.</summary>
    public int Status => status ?? StatusOf(code);

    /// <summary>What is away comes back: try again with the same key.</summary>
    public static GridProblem Unavailable() =>
        new(ErrorCode.Unavailable, "A part that this request needs is away. What was not acknowledged was not promised: try again with the same key.");

    /// <summary>A well-formed request that asks for nothing valid.</summary>
    public static GridProblem BadRequest(string detail) => new(ErrorCode.BadFrame, detail);

    /// <summary>The status of a code.</summary>
    public static int StatusOf(ErrorCode code) => code switch
    {
        ErrorCode.BadFrame or ErrorCode.InvalidPosition => StatusCodes.Status400BadRequest,
        ErrorCode.Unauthorized => StatusCodes.Status401Unauthorized,
        ErrorCode.Forbidden => StatusCodes.Status403Forbidden,
        ErrorCode.NotSubscribed => StatusCodes.Status404NotFound,
        ErrorCode.Conflict => StatusCodes.Status409Conflict,
        ErrorCode.TooLarge => StatusCodes.Status413PayloadTooLarge,
        ErrorCode.RateLimited or ErrorCode.QuotaExceeded => StatusCodes.Status429TooManyRequests,
        ErrorCode.Unavailable => StatusCodes.Status503ServiceUnavailable,
        _ => StatusCodes.Status500InternalServerError,
    };

    /// <summary>What a refused draft tells a person.</summary>
    public static string DescriptionOf(ErrorCode code) => code switch
    {
        ErrorCode.Conflict => "The channel's head is not the offset named by ifOffset.",
        ErrorCode.TooLarge => "The message is larger than its namespace allows.",
        ErrorCode.RateLimited => "Too many requests; try again later.",
        ErrorCode.QuotaExceeded => "A limit of the tenant is reached.",
        ErrorCode.Forbidden => "The credential does not allow this.",
        ErrorCode.Unavailable => "The channel is away. The message may or may not be stored: try again with the same key.",
        ErrorCode.BadFrame => "The message is not valid.",
        _ => "The message was refused.",
    };

    /// <inheritdoc/>
    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var response = httpContext.Response;
        response.StatusCode = Status;
        response.ContentType = MediaType;
        response.Headers.CacheControl = "no-store";

        // Seconds, rounded up; what is away or overloaded always says when to come back.
        var retry = retryAfterMs ?? (code is ErrorCode.Unavailable or ErrorCode.RateLimited ? 1000 : null);
        if (retry is { } ms) response.Headers.RetryAfter = Math.Max(1, (ms + 999) / 1000).ToString(CultureInfo.InvariantCulture);

        await using (var json = new Utf8JsonWriter(response.BodyWriter, Json))
        {
            json.WriteStartObject();
            json.WriteString("type", "about:blank");
            json.WriteString("title", ReasonPhrases.GetReasonPhrase(Status));
            json.WriteNumber("status", Status);
            json.WriteString("detail", detail);
            json.WriteString("code", code.Name());
            json.WriteEndObject();
        }

        await response.BodyWriter.FlushAsync(httpContext.RequestAborted);
    }
}

/// <summary>Ends a request with a problem from deep inside; <see cref="ApiExceptionFilter"/> writes it.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage(
    "Design", "CA1032", Justification = "It never leaves this assembly, and without a problem it means nothing.")]
internal sealed class GridProblemException(GridProblem problem) : Exception(problem.Detail)
{
    /// <summary>What to answer.</summary>
    public GridProblem Problem => problem;
}

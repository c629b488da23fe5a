using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Grid.Server.Api;

/// <summary>Marks an endpoint as Grid's: it is in the OpenAPI document, and its bare error statuses are filled with problems.</summary>
internal sealed class GridEndpoint;

/// <summary>A query parameter, for the OpenAPI document.</summary>
internal sealed record QueryParameter(string Name, bool Required, string Type, string Description);

/// <summary>A request header, for the OpenAPI document.</summary>
internal sealed record HeaderParameter(string Name, string Description);

/// <summary>Example bodies, as JSON text, for the OpenAPI document.</summary>
internal sealed record BodyExample(string? Request, string? Response);

/// <summary>Says that request and answer are one item or an array of them, for the OpenAPI document.</summary>
internal sealed class OneOrMany;

/// <summary>How the endpoints describe themselves.</summary>
internal static class ApiMetadata
{
    /// <summary>
    /// Routing lets any content type in: bodies are parsed as JSON whatever they are called, so that a plain <c>curl -d</c> works. The
    /// credential is a header, so a form on a foreign page gains nothing by it. Left out of the document.
    /// </summary>
    public const string AnyContentType = "*/*";

    /// <summary>Allows the credential in the query string of a GET, for browsers' EventSource.</summary>
    public static TBuilder AllowQueryToken<TBuilder>(this TBuilder builder)
        where TBuilder : IEndpointConventionBuilder => builder.WithMetadata(new QueryTokenAllowed());

    /// <summary>Names the query parameters.</summary>
    public static RouteHandlerBuilder WithQuery(
        this RouteHandlerBuilder builder, params (string Name, bool Required, string Type, string Description)[] parameters) =>
        builder.WithMetadata([.. parameters.Select(p => new QueryParameter(p.Name, p.Required, p.Type, p.Description))]);

    /// <summary>Names a request header.</summary>
    public static RouteHandlerBuilder WithHeader(this RouteHandlerBuilder builder, string name, string description) =>
        builder.WithMetadata(new HeaderParameter(name, description));

    /// <summary>Gives examples of the bodies.</summary>
    public static RouteHandlerBuilder WithExample(this RouteHandlerBuilder builder, string? request, string? response) =>
        builder.WithMetadata(new BodyExample(request, response));

    /// <summary>Says that request and answer are one item or an array of them.</summary>
    public static RouteHandlerBuilder WithOneOrMany(this RouteHandlerBuilder builder) => builder.WithMetadata(new OneOrMany());

    /// <summary>Names the statuses that are answered with a problem.</summary>
    public static RouteHandlerBuilder WithProblems(this RouteHandlerBuilder builder, params int[] statuses)
    {
        foreach (var status in statuses) builder.Produces<ProblemBody>(status, GridProblem.MediaType);
        return builder;
    }
}

using System.Text.Json.Nodes;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.OpenApi;

namespace Grid.Server.Api;

/// <summary>The OpenAPI document: what the endpoints say of themselves, put where the framework cannot infer it.</summary>
internal static class ApiDocument
{
    /// <summary>The document's name: it is served as <c>/openapi/v1.json</c>.</summary>
    public const string Name = "v1";

    private const string Bearer = "bearer";

    /// <summary>Configures the document.</summary>
    public static void Configure(OpenApiOptions options)
    {
        options.ShouldInclude = api => api.ActionDescriptor.EndpointMetadata.OfType<GridEndpoint>().Any();
        options.AddDocumentTransformer((document, _, _) => Describe(document));
        options.AddOperationTransformer((operation, context, _) =>
        {
            Describe(operation, context.Description.ActionDescriptor.EndpointMetadata, context.Document);
            return Task.CompletedTask;
        });
        options.AddSchemaTransformer((schema, context, _) =>
        {
            // The framework calls any JSON an empty schema, which is right, and says nothing more.
            if (context.JsonTypeInfo.Type == typeof(TokenRequest)) schema.Required = new HashSet<string> { "user", "capabilities" };
            else if (context.JsonTypeInfo.Type == typeof(PublishMessage)) schema.Required = null;
            else if (context.JsonTypeInfo.Type == typeof(StoredMessage)) schema.Required = new HashSet<string> { "offset", "at" };
            return Task.CompletedTask;
        });
    }

    private static Task Describe(OpenApiDocument document)
    {
        document.Info = new OpenApiInfo
        {
            Title = "Grid",
            Version = "1",
            Description =
                "The HTTP interface of Grid. Clients hold a WebSocket to `/v1/ws`; servers publish, read and manage here. Send an API key or a client "
                + "token as `Authorization: Bearer …`. Errors are `application/problem+json` with a `code`.",
        };
        document.Servers = [new OpenApiServer { Url = "/" }];
        document.Components ??= new OpenApiComponents();
        document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>
        {
            [Bearer] = new OpenApiSecurityScheme
            {
                Type = SecuritySchemeType.Http,
                Scheme = "bearer",
                Description = "An API key, or a client token made by `POST /v1/tokens`.",
            },
        };
        document.Tags = new HashSet<OpenApiTag>
        {
            new() { Name = "Tokens", Description = "Tokens for clients." },
            new() { Name = "Channels", Description = "Publishing to channels and reading them." },
            new() { Name = "Sessions", Description = "Who is connected, and ending it." },
            new() { Name = "Health", Description = "For load balancers and orchestrators." },
            new() { Name = "Playground", Description = "The page that shows what Grid does." },
        };
        return Task.CompletedTask;
    }

    private static void Describe(OpenApiOperation operation, IList<object> metadata, OpenApiDocument? document)
    {
        operation.Parameters ??= [];
        foreach (var query in metadata.OfType<QueryParameter>())
        {
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = query.Name,
                In = ParameterLocation.Query,
                Required = query.Required,
                Description = query.Description,
                Schema = new OpenApiSchema { Type = query.Type == "integer" ? JsonSchemaType.Integer : JsonSchemaType.String },
            });
        }

        foreach (var header in metadata.OfType<HeaderParameter>())
        {
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = header.Name,
                In = ParameterLocation.Header,
                Description = header.Description,
                Schema = new OpenApiSchema { Type = JsonSchemaType.String },
            });
        }

        foreach (var parameter in operation.Parameters.OfType<OpenApiParameter>().Where(p => p.In == ParameterLocation.Path))
        {
            parameter.Description ??= parameter.Name == "channel"
                ? "The channel: 1 to 200 characters of A-Z a-z 0-9 _ . : ~ @ -"
                : "The session's id.";
        }

        if (metadata.OfType<Microsoft.AspNetCore.Authorization.IAuthorizeData>().Any())
            operation.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(Bearer, document)] = [] }];

        foreach (var (status, response) in operation.Responses ?? [])
        {
            if (int.TryParse(status, out var code) && string.IsNullOrEmpty(response.Description))
                response.Description = ReasonPhrases.GetReasonPhrase(code);
        }

        var example = metadata.OfType<BodyExample>().LastOrDefault();
        var many = metadata.OfType<OneOrMany>().Any();
        if (operation.RequestBody is OpenApiRequestBody { Content: { } requests } body)
        {
            body.Required = true;
            requests.Remove(ApiMetadata.AnyContentType);
            Fill(requests, example?.Request, many);
        }

        if (operation.Responses?.GetValueOrDefault("200") is OpenApiResponse { Content: { } answers }) Fill(answers, example?.Response, many);
    }

    private static void Fill(IDictionary<string, OpenApiMediaType> content, string? example, bool many)
    {
        foreach (var media in content.Values)
        {
            if (example is not null) media.Example = JsonNode.Parse(example);
            if (!many || media.Schema is not { } one) continue;
            media.Schema = new OpenApiSchema
            {
                OneOf = [one, new OpenApiSchema { Type = JsonSchemaType.Array, Items = one, MinItems = 1, MaxItems = PublishBody.MaxMessages }],
            };
        }
    }
}

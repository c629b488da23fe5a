using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using Grid.Protocol;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Http.Metadata;
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
            Describe(schema, context.JsonTypeInfo.Type);
            return Task.CompletedTask;
        });
    }

    private static void Describe(OpenApiSchema schema, Type type)
    {
        // The framework allows for numbers in strings, as its serializer could read them; here they are numbers alone.
        if (schema.Type is { } kind && (kind & (JsonSchemaType.Integer | JsonSchemaType.Number)) != 0)
        {
            schema.Type = kind & ~JsonSchemaType.String;
            schema.Pattern = null;
        }

        if (type == typeof(TokenRequest))
        {
            schema.Required = new HashSet<string> { "user", "capabilities" };
            if (schema.Properties?["capabilities"] is OpenApiSchema { AdditionalProperties: OpenApiSchema { Items: OpenApiSchema name } })
                name.Enum = [.. CapabilityNames.ToNames(Capability.All).Select(n => (JsonNode)n)];
        }
        else if (type == typeof(ProblemBody))
        {
            if (schema.Properties?["code"] is OpenApiSchema code) code.Enum = [.. Enum.GetValues<ErrorCode>().Select(c => (JsonNode)c.Name())];
        }
        else if (type.IsDefined(typeof(SparseBodyAttribute), inherit: false))
        {
            LeaveOut(schema, type);
        }
        else if (type == typeof(PublishMessage))
        {
            schema.Required = null;
        }
        else if (type == typeof(StoredMessage))
        {
            // Members that are absent are never null.
            schema.Required = new HashSet<string> { "offset", "at" };
            foreach (var member in (schema.Properties ?? new Dictionary<string, IOpenApiSchema>()).Values.OfType<OpenApiSchema>())
                member.Type &= ~JsonSchemaType.Null;
        }
    }

    /// <summary>Of a body whose members are left out when there is nothing to say, only those that can't be null are required.</summary>
    private static void LeaveOut(OpenApiSchema schema, Type type)
    {
        var nullability = new NullabilityInfoContext();
        var optional = type.GetProperties()
            .Where(p => nullability.Create(p).ReadState == NullabilityState.Nullable)
            .Select(p => JsonNamingPolicy.CamelCase.ConvertName(p.Name))
            .ToHashSet(StringComparer.Ordinal);
        schema.Required = (schema.Properties?.Keys ?? Enumerable.Empty<string>()).Where(name => !optional.Contains(name)).ToHashSet();
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
            new() { Name = "Webhooks", Description = "Subscriptions whose messages are sent to an endpoint, or polled for." },
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
            parameter.Description ??= parameter.Name switch
            {
                "channel" => "The channel: 1 to 200 characters of A-Z a-z 0-9 _ . : ~ @ -",
                "session" => "The session's id.",
                "messageId" => "The message's id, the header `webhook-id`.",
                "replayId" => "The replay's id.",
                _ => "The webhook's id.",
            };
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
            body.Required = !metadata.OfType<IAcceptsMetadata>().Any(a => a.IsOptional);
            requests.Remove(ApiMetadata.AnyContentType);
            Fill(requests, example?.Request, many, null);
        }

        foreach (var success in (string[])["200", "201", "202"])
        {
            if (operation.Responses?.GetValueOrDefault(success) is OpenApiResponse { Content: { } answers }) Fill(answers, example?.Response, many, Refused());
        }
    }

    private static void Fill(IDictionary<string, OpenApiMediaType> content, string? example, bool many, OpenApiSchema? other)
    {
        foreach (var media in content.Values)
        {
            if (example is not null) media.Example = JsonNode.Parse(example);
            if (!many || media.Schema is not { } one) continue;
            IOpenApiSchema item = other is null ? one : new OpenApiSchema { OneOf = [one, other] };
            media.Schema = new OpenApiSchema
            {
                OneOf = [one, new OpenApiSchema { Type = JsonSchemaType.Array, Items = item, MinItems = 1, MaxItems = PublishBody.MaxMessages }],
            };
        }
    }

    /// <summary>What stands in an array's answer for a message that was refused.</summary>
    private static OpenApiSchema Refused() => new()
    {
        Type = JsonSchemaType.Object,
        Description = "A message that was refused.",
        Required = new HashSet<string> { "error" },
        Properties = new Dictionary<string, IOpenApiSchema>
        {
            ["error"] = new OpenApiSchema
            {
                Type = JsonSchemaType.Object,
                Required = new HashSet<string> { "code", "message" },
                Properties = new Dictionary<string, IOpenApiSchema>
                {
                    ["code"] = new OpenApiSchema { Type = JsonSchemaType.String, Description = "Why." },
                    ["message"] = new OpenApiSchema { Type = JsonSchemaType.String, Description = "For a person." },
                    ["retryAfterMs"] = new OpenApiSchema { Type = JsonSchemaType.Integer, Description = "When to try again, if that is known." },
                },
            },
        },
    };
}

using System.Globalization;
using System.Text.Json;
using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Grid.Server.Relay;
using Grid.Server.Tenancy;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Grid.Server.Api;

/// <summary>Reading channels: <c>GET /v1/channels/{channel}</c> and <c>GET /v1/channels/{channel}/messages</c>.</summary>
internal static class ChannelEndpoints
{
    private const int DefaultLimit = 100;
    private const int MaxLimit = 1000;

    /// <summary>Maps the endpoints into <c>/v1</c>.</summary>
    public static void MapChannels(this RouteGroupBuilder v1)
    {
        v1.MapGet("/channels/{channel}/messages", HistoryAsync)
            .RequireAuthorization(GridPolicies.Any).AllowQueryToken()
            .WithName("readHistory").WithTags("Channels")
            .WithSummary("Read stored messages")
            .WithDescription(
                "Reads messages after an offset, oldest first. Needs the capability `history`, and a namespace that allows history. When `after` lies "
                + "before `oldest`, the first message is `oldest`: what lies between was taken by retention.")
            .WithQuery(
                ("after", false, "integer", "The offset before the first message wanted. Default: 0, for the oldest kept."),
                ("limit", false, "integer", "The most messages to return, 1 to 1,000. Default: 100."))
            .Produces<HistoryPage>()
            .WithProblems(400, 401, 403, 429, 503)
            .WithExample(
                null,
                """{"epoch":"5f2c9a","oldest":1,"head":42,"messages":[{"offset":42,"at":1795452674123,"data":{"text":"Hello"},"key":"k-1","event":"chat.message","from":"ana"}]}""");

        v1.MapGet("/channels/{channel}", InfoAsync)
            .RequireAuthorization(GridPolicies.Any).AllowQueryToken()
            .WithName("getChannel").WithTags("Channels")
            .WithSummary("Tell how far a channel reaches")
            .WithDescription("Epoch, oldest and last offset, and the number of connected subscribers. Needs any capability on the channel. A channel exists by being named.")
            .WithQuery()
            .Produces<ChannelInfo>()
            .WithProblems(400, 401, 403, 429, 503)
            .WithExample(null, """{"channel":"room:1","epoch":"5f2c9a","oldest":1,"head":42,"subscribers":3}""");
    }

    private static async Task<IResult> InfoAsync(string channel, HttpContext context, IChannelReader reader, IGridDirectory directory)
    {
        var caller = context.GetCaller();
        if (!MayAnything(caller, channel) && ChannelAccess.Refuse(caller, channel, Capability.Subscribe) is { } refused) return refused;
        var id = new ChannelId(caller.Tenant, channel);
        var subscribers = directory.CountSubscribersAsync(id, context.RequestAborted);
        var head = await reader.GetHeadAsync(id, context.RequestAborted);
        return Results.Json(new ChannelInfo(channel, head.Epoch, head.Oldest, head.Head, await subscribers), ApiJson.Default.ChannelInfo);
    }

    private static async Task<IResult> HistoryAsync(string channel, HttpContext context, IChannelReader reader, NamespacePolicies policies)
    {
        var caller = context.GetCaller();
        if (ChannelAccess.Refuse(caller, channel, Capability.History) is { } refused) return refused;
        if (!policies.For(channel).History) return new GridProblem(ErrorCode.Forbidden, "The channel's namespace does not allow history.");
        if (!TryReadAfter(context.Request, out var after))
            return GridProblem.BadRequest("The query parameter 'after' must be a whole number from 0 to 2^53 - 1.");
        if (!SessionEndpoints.TryReadLimit(context.Request.Query["limit"], DefaultLimit, MaxLimit, out var limit))
            return GridProblem.BadRequest($"The query parameter 'limit' must be a whole number from 1 to {MaxLimit}.");

        var id = new ChannelId(caller.Tenant, channel);
        var first = await reader.ReadAsync(id, after, limit, cancellationToken: context.RequestAborted);
        return new History(reader, id, first, limit);
    }

    private static bool MayAnything(Caller caller, string channel) => ChannelName.IsValid(channel)
        && (caller.Capabilities.Allows(channel, Capability.Publish)
            || caller.Capabilities.Allows(channel, Capability.History)
            || caller.Capabilities.Allows(channel, Capability.Presence));

    private static bool TryReadAfter(HttpRequest request, out long after)
    {
        after = 0;
        var values = request.Query["after"];
        return values.Count == 0
            || (values is [{ } text] && long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out after) && after <= WireLimits.MaxId);
    }

    /// <summary>
    /// Writes a run of messages as it is read, a page at a time, so that a thousand large messages need the memory of one page. Stops
    /// at the head that was told at the start, and where the channel no longer continues without a hole.
    /// </summary>
    private sealed class History(IChannelReader reader, ChannelId channel, ChannelPage page, int limit) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            var (head, output, cancelled) = (page.Head, httpContext.Response.BodyWriter, httpContext.RequestAborted);
            httpContext.Response.ContentType = "application/json; charset=utf-8";
            await using var json = new Utf8JsonWriter(output);
            json.WriteStartObject();
            json.WriteString("epoch", head.Epoch);
            json.WriteNumber("oldest", head.Oldest);
            json.WriteNumber("head", head.Head);
            json.WriteStartArray("messages");

            var left = limit;
            var last = 0L;
            for (var next = page; ;)
            {
                foreach (var message in next.Messages)
                {
                    if (message.Offset > head.Head || left == 0) break;
                    JsonWireCodec.WriteMessageItem(json, message);
                    (last, left) = (message.Offset, left - 1);
                }

                if (next.Messages.Count == 0 || left == 0 || last >= head.Head) break;
                await json.FlushAsync(cancelled);
                await output.FlushAsync(cancelled);
                next = await reader.ReadAsync(channel, last, left, cancellationToken: cancelled);
                if (next.Head.Epoch != head.Epoch || next.Messages is not [{ } following, ..] || following.Offset != last + 1) break;
            }

            json.WriteEndArray();
            json.WriteEndObject();
            await json.FlushAsync(cancelled);
            await output.FlushAsync(cancelled);
        }
    }
}

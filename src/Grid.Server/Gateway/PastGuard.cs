using Grid.Abstractions;
using Grid.Protocol;
using Grid.Server.Channels;
using Grid.Server.Hosting;
using Microsoft.Extensions.Options;

namespace Grid.Server.Gateway;

/// <summary>
/// Tells a resume from a look into the past. A credential without the capability <c>history</c> may go on where it was, but a cursor
/// is the client's word: it is believed when the server's own is no further, or when what follows it is no older than a session's window.
/// </summary>
internal sealed class PastGuard(IChannelReader reader, IOptions<GridOptions> options, TimeProvider time)
{
    /// <summary>Whether going on after <paramref name="cursor"/> is a resume.</summary>
    /// <param name="channel">The channel.</param>
    /// <param name="cursor">What the client claims to have.</param>
    /// <param name="known">What the server knows that the client has finished with, if anything.</param>
    public async ValueTask<bool> IsResumeAsync(ChannelId channel, Position cursor, Position? known)
    {
        if (known is { } own && own.Epoch == cursor.Epoch && own.Offset <= cursor.Offset) return true;
        var page = await reader.ReadAsync(channel, cursor.Offset, maxMessages: 1);

        // In another epoch everything is new to the client, and the oldest message is what it would get first.
        if (page.Head.Epoch != cursor.Epoch) page = await reader.ReadAsync(channel, after: 0, maxMessages: 1);
        return page.Messages is not [var next, ..] || next.At >= (time.GetUtcNow() - options.Value.ResumeWindow).ToUnixTimeMilliseconds();
    }
}

using Microsoft.AspNetCore.SignalR;

namespace Grid.Benchmarks.SignalR;

/// <summary>The least hub that does what the loads ask for: groups that one joins and sends to.</summary>
internal sealed class RoomHub : Hub
{
    /// <summary>Joins a group; messages sent to it from then on arrive.</summary>
    public Task Join(string channel) => Groups.AddToGroupAsync(Context.ConnectionId, channel);

    /// <summary>Sends to everyone in a group, the sender too if it is in it.</summary>
    public Task Publish(string channel, string data) => Clients.Group(channel).SendAsync("m", data);
}

using Grid.Benchmarks.SignalR;
using Microsoft.AspNetCore.Http.Connections;

// ASP.NET Core SignalR as people run it, as a peer for the benchmarks: --urls where to listen, --redis the backplane if there is one.
var builder = WebApplication.CreateBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
var signalR = builder.Services.AddSignalR(options =>
{
    // The generator's subscribers only listen; a real client would send a ping now and then.
    options.ClientTimeoutInterval = TimeSpan.FromHours(1);
    options.MaximumReceiveMessageSize = 1024 * 1024;
});
if (builder.Configuration["redis"] is { Length: > 0 } redis) signalR.AddStackExchangeRedis(redis);
var app = builder.Build();
app.MapHub<RoomHub>("/hub", options => options.Transports = HttpTransportType.WebSockets);
app.Run();

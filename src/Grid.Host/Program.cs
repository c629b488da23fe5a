using Grid.Host;
using Grid.Server.Hosting;

if (args is [HealthCommand.Name, .. var rest]) return await HealthCommand.RunAsync(rest);

// Grid as a server of its own: the first user of AddGrid and MapGrid.
return await HostRunner.RunAsync(args, builder =>
{
    var mode = ClusterMode.Read(builder.Configuration);
    builder.Host.UseOrleans(mode.AddGrid);
    builder.AddTelemetry();
    builder.Services.AddHostedService<WelcomeBanner>();
}, app =>
{
    app.UsePlayground();

    // Nothing that follows routing matters to sockets here.
    app.MapGrid(socket => socket.ShortCircuit());
    app.MapTelemetry();
});

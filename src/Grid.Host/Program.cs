using Grid.Host;
using Grid.Server.Hosting;

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
    app.MapGrid();
    app.MapTelemetry();
});

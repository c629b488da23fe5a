using Grid.Testing.Hosting;

namespace Grid.ClusterTests.Cluster;

/// <summary>What the chaos test makes of errors in a silo's log.</summary>
public class LoggedErrorsTests
{
    [Fact]
    public void An_outage_explains_what_Orleans_says_of_it_but_no_fault_of_a_grain()
    {
        var output = new HostOutput();
        Say(output, "Grid.Server.Log.LogUnavailableException: PostgreSQL is not reachable: ConnectionRefused.");
        Assert.Single(LoggedErrors.Of(output));
        Assert.Empty(LoggedErrors.UnforeseenOf(output));
        Say(output, "System.NullReferenceException: Object reference not set to an instance of an object.");
        Say(output, "Orleans.Runtime.OrleansException: It failed.", " ---> System.InvalidCastException: Specified cast is not valid.");
        Assert.Equal(2, LoggedErrors.UnforeseenOf(output).Count);
    }

    private static void Say(HostOutput output, params string[] exceptions)
    {
        output.Add("12:00:00.000 fail: Orleans.Grain[100]");
        output.Add("      Error activating grain [Activation: channel/default/room:1]");
        foreach (var exception in exceptions) output.Add("      " + exception);
        output.Add("         at Grid.Server.Channels.ChannelGrain.OnActivateAsync(CancellationToken cancellationToken)");
    }
}

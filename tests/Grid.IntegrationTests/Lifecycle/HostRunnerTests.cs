using System.Globalization;
using Grid.Host;
using Grid.Server.Hosting;
using Grid.Testing;

namespace Grid.IntegrationTests.Lifecycle;

/// <summary>The exit code tells a supervisor whether the same start may succeed another time.</summary>
public class HostRunnerTests
{
    [Theory]
    [InlineData(true, 75)]
    [InlineData(false, 78)]
    public async Task A_store_that_was_away_too_long_is_worth_another_try_and_a_refusal_is_not(bool mayPass, int code)
    {
        string[] args = [string.Create(CultureInfo.InvariantCulture, $"--urls=http://127.0.0.1:{FreePort.Next()}")];
        var refusal = new GridStartupException("not now") { MayPass = mayPass };
        Assert.Equal(code, await HostRunner.RunAsync(args, _ => throw refusal, _ => { }));

        // However it is wrapped on its way.
        Assert.Equal(code, await HostRunner.RunAsync(args, _ => throw new AggregateException(refusal), _ => { }));
        Assert.Equal(code, await HostRunner.RunAsync(args, _ => throw new InvalidOperationException("at the start", refusal), _ => { }));
    }
}

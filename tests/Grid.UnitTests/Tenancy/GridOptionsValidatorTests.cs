using Grid.Server.Hosting;
using Microsoft.Extensions.Options;

namespace Grid.UnitTests.Tenancy;

public sealed class GridOptionsValidatorTests
{
    private static ValidateOptionsResult Validate(GridOptions options) => new GridOptionsValidator().Validate(null, options);

    [Fact]
    public void The_defaults_are_good()
    {
        var options = new GridOptions();
        options.Namespaces["default"] = new NamespacePolicy();
        options.Namespaces["pointer"] = new NamespacePolicy { Durability = Durability.Ephemeral, MaxAge = null, MaxBytes = null, MaxMessages = null };
        options.Bootstrap.ApiKey = "local-dev-key";
        Assert.True(Validate(options).Succeeded, Validate(options).FailureMessage);
        Assert.True(Validate(new GridOptions()).Succeeded);
    }

    [Fact]
    public void Everything_wrong_is_told_at_once_and_the_key_is_not_repeated()
    {
        var options = new GridOptions
        {
            DataDirectory = " ",
            MaxFrameBytes = 0,
            Heartbeat = TimeSpan.Zero,
            HelloTimeout = TimeSpan.FromDays(1),
            ResumeWindow = TimeSpan.FromDays(8),
            CheckpointInterval = TimeSpan.FromSeconds(-1),
            MaxSubscriptionsPerSession = 0,
            MaxOutboundBytes = -1,
            MaxInFlightPublishBytes = 0,
            MaxPendingHellos = 0,
            DrainSpan = TimeSpan.FromSeconds(-1),
        };
        options.Metrics.Access = (MetricsAccess)5;
        options.Bootstrap.ApiKey = "short!";
        options.Namespaces["bad name"] = new NamespacePolicy();
        options.Namespaces["a:b"] = new NamespacePolicy();
        options.Namespaces["room"] = new NamespacePolicy
        {
            Durability = (Durability)7,
            SlowConsumer = (SlowConsumerPolicy)9,
            MaxMessageBytes = 0,
            MaxAge = TimeSpan.Zero,
            MaxMessages = 0,
            MaxBytes = -1,
            IdempotencyWindow = TimeSpan.FromDays(-1),
        };
        var failures = Validate(options).Failures!.ToList();
        string[] expected =
        [
            "DataDirectory", "MaxFrameBytes", "Heartbeat", "HelloTimeout", "ResumeWindow", "CheckpointInterval", "MaxSubscriptionsPerSession",
            "MaxOutboundBytes", "MaxInFlightPublishBytes", "MaxPendingHellos", "DrainSpan", "Metrics:Access", "Bootstrap:ApiKey", "bad name", "a:b",
            "room:Durability", "room:SlowConsumer", "room:MaxMessageBytes", "room:MaxAge", "room:MaxMessages", "room:MaxBytes", "room:IdempotencyWindow",
        ];
        foreach (var part in expected) Assert.Single(failures, f => f.Contains(part, StringComparison.Ordinal));
        Assert.Equal(expected.Length, failures.Count);
        Assert.DoesNotContain(failures, f => f.Contains("short!", StringComparison.Ordinal));
    }
}

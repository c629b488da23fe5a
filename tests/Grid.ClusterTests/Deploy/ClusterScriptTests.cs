using System.Text.RegularExpressions;
using Grid.Testing.Servers;
using Grid.Testing;

namespace Grid.ClusterTests.Deploy;

/// <summary><c>deploy/cluster.sh</c>, without a cluster.</summary>
public sealed class ClusterScriptTests
{
    private static readonly string Script = Repository.PathOf("deploy/cluster.sh");
    private static readonly string[] Files = [Script, .. Directory.GetFiles(Repository.PathOf("deploy/cluster"), "*.sh")];
    private static readonly string Text = string.Concat(Files.Select(File.ReadAllText));

    [Fact]
    public async Task Bash_and_shellcheck_find_nothing()
    {
        foreach (var file in Files) (await Commands.RunAsync("bash", ["-n", file])).Ok();

        // The parts are checked where they are drawn in: alone they would not know each other.
        var found = await Commands.RunAsync(ServerPrograms.Find("shellcheck", "shellcheck"), ["--check-sourced", Script]);
        Assert.Equal("", found.Output + found.Errors);
        var text = File.ReadAllText(Script);
        Assert.All(Files[1..], file => Assert.Contains($"\nsource \"$repo/deploy/cluster/{Path.GetFileName(file)}\"\n", text, StringComparison.Ordinal));
    }

    [Fact]
    public void It_can_be_run_as_it_is()
    {
        Assert.True(File.GetUnixFileMode(Script).HasFlag(UnixFileMode.UserExecute));
        Assert.StartsWith("#!/usr/bin/env bash\n", File.ReadAllText(Script), StringComparison.Ordinal);
        Assert.Contains("\nset -euo pipefail\n", File.ReadAllText(Script), StringComparison.Ordinal);
    }

    [Fact]
    public void The_settings_that_it_gives_to_silos_are_known() =>
        Assert.All(KnownSettings.In(Text), name => Assert.True(KnownSettings.Contains(name), name));

    [Fact]
    public async Task Help_names_every_command_and_every_setting()
    {
        var help = (await Commands.RunAsync(Script, ["help"])).Ok().Output;

        Assert.All((string[])["up", "status", "kill N", "start N", "stop N", "roll", "logs NAME", "down", "help"], command =>
            Assert.Matches($@"(?m)^  {Regex.Escape(command)}\b", help));
        var settings = Regex.Matches(Text, @"\[(GRID_\w+)\]=").Select(m => m.Groups[1].Value).Append("GRID_CLUSTER_DIR");
        Assert.All(settings, name => Assert.Matches($@"(?m)^  {name} ", help));
    }

    [Theory]
    [InlineData(2, "", "bogus")]
    [InlineData(1, "there is no cluster in", "status")]
    [InlineData(1, "there is no cluster in", "kill", "1")]
    [InlineData(1, "GRID_PORT is 'x', which is no number", "up")]
    public async Task What_cannot_work_is_said_in_plain_words(int exitCode, string message, params string[] arguments)
    {
        using var folder = new Testing.TestFolder("script");
        var said = await Commands.RunAsync(Script, arguments, new Dictionary<string, string> { ["GRID_CLUSTER_DIR"] = folder["cluster"], ["GRID_PORT"] = "x" });

        Assert.Equal(exitCode, said.ExitCode);
        Assert.Contains(message, said.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_cluster_that_is_not_there_is_down()
    {
        using var folder = new Testing.TestFolder("script");
        var said = await Commands.RunAsync(Script, ["down"], new Dictionary<string, string> { ["GRID_CLUSTER_DIR"] = folder["cluster"] });

        Assert.Contains("Nothing runs", said.Ok().Output, StringComparison.Ordinal);
    }
}

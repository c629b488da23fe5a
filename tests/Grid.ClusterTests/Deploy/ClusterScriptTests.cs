using System.Diagnostics;
using System.Text.RegularExpressions;
using Grid.Testing;
using Grid.Testing.Hosting;
using Grid.Testing.Servers;

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

    [Theory]
    [InlineData("up")]
    [InlineData("down", "--wipe")]
    [InlineData("down")]
    [InlineData("kill", "1")]
    public async Task A_folder_that_is_somebody_elses_is_left_alone(params string[] arguments)
    {
        using var folder = new Testing.TestFolder("script");
        foreach (var name in (string[])["data", "logs", "run"]) File.WriteAllText(Path.Combine(Directory.CreateDirectory(folder[name]).FullName, "mine"), "");
        var before = Directory.GetFileSystemEntries(folder.Path, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal).ToArray();
        var said = await Commands.RunAsync(Script, arguments, new Dictionary<string, string> { ["GRID_CLUSTER_DIR"] = folder.Path });

        Assert.Equal(1, said.ExitCode);
        Assert.Contains("is not empty, and no cluster's: it has no file .grid-cluster", said.Errors, StringComparison.Ordinal);
        Assert.Equal(before, Directory.GetFileSystemEntries(folder.Path, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task What_runs_is_ended_by_the_settings_that_it_was_started_with_whatever_the_environment_says()
    {
        using var folder = new Testing.TestFolder("script");
        File.WriteAllText(folder[".grid-cluster"], "");
        // As an older version kept them: not all settings, and a number with a zero in front.
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(folder["run"]).FullName, "settings"), "GRID_PORT=08089\nGRID_STATS_PORT=1\n");
        var sleeper = new ProcessStartInfo("bash", ["-c", "exec sleep 300"]);
        using var process = await ProcessStarter.StartAsync(sleeper);
        var environment = new Dictionary<string, string> { ["GRID_CLUSTER_DIR"] = folder.Path, ["GRID_PORT"] = "9", ["GRID_DRAIN_SPAN"] = "x" };
        var started = (await Commands.RunAsync("bash", ["-c", $"s=$(cat /proc/{process.Id}/stat); s=(${{s##*) }}); echo ${{s[19]}}"])).Ok().Output.Trim();
        File.WriteAllText(folder["run/silo-2.pid"], $"{process.Id} {started}\n");

        Assert.Contains("http://127.0.0.1:8089 ", (await Commands.RunAsync(Script, ["status"], environment)).Output, StringComparison.Ordinal);
        var refused = await Commands.RunAsync(Script, ["start", "1"], new Dictionary<string, string> { ["GRID_CLUSTER_DIR"] = folder.Path, ["GRID_PORT"] = "9" });
        Assert.Contains("runs with GRID_PORT=8089, not 9", refused.Errors, StringComparison.Ordinal);
        Assert.False(process.HasExited);

        (await Commands.RunAsync(Script, ["down", "--wipe"], environment)).Ok();
        using var deadline = TestDeadline.In(30);
        await process.WaitForExitAsync(deadline.Token);
        Assert.False(Directory.Exists(folder.Path));
    }

    [Fact]
    public async Task A_host_is_found_from_the_current_folder()
    {
        using var folder = new Testing.TestFolder("script");
        var said = await Commands.RunAsync(
            "bash",
            ["-euc", "repo=/ state=/nowhere; source \"$1\"; load_settings given; echo \"${setting[GRID_HOST_DIR]} ${setting[GRID_PORT]}\"", "-", Repository.PathOf("deploy/cluster/settings.sh")],
            new Dictionary<string, string> { ["GRID_CLUSTER_DIR"] = folder.Path, ["GRID_HOST_DIR"] = "built/host", ["GRID_PORT"] = "08088" },
            folder.Path);

        Assert.Equal($"{folder["built/host"]} 8088\n", said.Ok().Output);
    }

    [Fact]
    public async Task A_cluster_that_is_not_there_is_down()
    {
        using var folder = new Testing.TestFolder("script");
        var said = await Commands.RunAsync(Script, ["down"], new Dictionary<string, string> { ["GRID_CLUSTER_DIR"] = folder["cluster"] });

        Assert.Contains("Nothing runs", said.Ok().Output, StringComparison.Ordinal);
    }
}

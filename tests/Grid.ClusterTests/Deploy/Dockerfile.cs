using System.Globalization;
using System.Text.Json;
using Grid.Testing;
using Microsoft.AspNetCore.Http;

namespace Grid.ClusterTests.Deploy;

/// <summary>An instruction of a Dockerfile and the stage that it is in.</summary>
internal sealed record Instruction(string Stage, string Name, string Arguments)
{
    /// <summary>Its arguments, options such as <c>--from=build</c> left out.</summary>
    public IEnumerable<string> Words => Arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries).Where(word => !word.StartsWith("--", StringComparison.Ordinal));

    /// <summary>The value of an option, or null.</summary>
    public string? Option(string name) => Arguments.Split(' ')
        .FirstOrDefault(word => word.StartsWith($"--{name}=", StringComparison.Ordinal))?[(name.Length + 3)..];

    /// <summary>The arguments of the form <c>["a", "b"]</c>.</summary>
    public string[] List => JsonSerializer.Deserialize<string[]>(Arguments[Arguments.IndexOf('[', StringComparison.Ordinal)..])!;
}

/// <summary><c>deploy/Dockerfile</c>, read.</summary>
internal sealed class Dockerfile
{
    private Dockerfile(IReadOnlyList<Instruction> instructions) => Instructions = instructions;

    /// <summary>Its instructions, in order.</summary>
    public IReadOnlyList<Instruction> Instructions { get; }

    /// <summary>The stage that becomes the image.</summary>
    public string FinalStage => Instructions[^1].Stage;

    /// <summary>What is copied from the repository.</summary>
    public IEnumerable<string> Copied => Instructions.Where(i => i.Name == "COPY" && i.Option("from") is null).SelectMany(i => i.Words.SkipLast(1));

    /// <summary>The final image's environment.</summary>
    public IReadOnlyDictionary<string, string> Environment => Instructions.Where(i => i.Name == "ENV" && i.Stage == FinalStage)
        .SelectMany(i => i.Words).Select(word => word.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1].Trim('"'), StringComparer.Ordinal);

    /// <summary>The port that the host listens on in it.</summary>
    public int Port => BindingAddress.Parse(Environment["ASPNETCORE_URLS"]).Port;

    /// <summary>The only instruction of a name in the final stage.</summary>
    public Instruction Final(string name) => Instructions.Single(i => i.Stage == FinalStage && i.Name == name);

    /// <summary>Reads it.</summary>
    public static Dockerfile Load()
    {
        var instructions = new List<Instruction>();
        var stage = "";
        var pending = "";
        foreach (var line in Repository.Read("deploy/Dockerfile").Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0 && line[0] != '#'))
        {
            pending += line;
            if (pending.EndsWith('\\'))
            {
                pending = pending[..^1];
                continue;
            }

            var space = pending.IndexOf(' ', StringComparison.Ordinal);
            var (name, arguments) = (pending[..space].ToUpperInvariant(), pending[(space + 1)..].Trim());
            if (name == "FROM")
            {
                var words = arguments.Split(' ');
                stage = words[^2].Equals("AS", StringComparison.OrdinalIgnoreCase)
                    ? words[^1] : string.Create(CultureInfo.InvariantCulture, $"stage{instructions.Count}");
            }

            instructions.Add(new Instruction(stage, name, arguments));
            pending = "";
        }

        if (pending.Length > 0) throw new TestFailedException("The Dockerfile ends in the middle of an instruction.");
        return new Dockerfile(instructions);
    }
}

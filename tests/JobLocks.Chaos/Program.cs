using System.CommandLine;

namespace JobLocks.Chaos;

/// <summary>A random history of several processes, and the proof that nothing went wrong in it.</summary>
internal static class Program
{
    public static Task<int> Main(string[] arguments)
    {
        var seed = new Option<int>("--seed") { Description = "The same seed makes the same offers and faults, at about the same times.", DefaultValueFactory = static _ => Environment.TickCount };
        var seconds = new Option<int>("--seconds") { Description = "For how long runs are offered and faults happen.", DefaultValueFactory = static _ => 30 };
        var processes = new Option<int>("--processes") { Description = "How many server processes.", DefaultValueFactory = static _ => 3 };
        var calm = new Option<bool>("--calm") { Description = "No faults: then the order of the line is checked too." };
        var without = new Option<Upheaval[]>("--without") { Description = "What does not happen to stores and applications.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = static _ => [] };
        var record = new Option<FileInfo?>("--record") { Description = "Writes all that the verdict rests on into this file." };
        var root = new RootCommand("Makes a random history of runs, kills and lost sessions, and checks it. Ends with 0 where nothing went wrong.") { seed, seconds, processes, calm, without, record };
        root.SetAction((parsed, stop) => new Story(parsed.GetValue(seed), TimeSpan.FromSeconds(parsed.GetValue(seconds)), parsed.GetValue(processes), parsed.GetValue(calm), parsed.GetValue(without)!, parsed.GetValue(record)).RunAsync(stop));

        var file = new Argument<FileInfo>("file");
        var judge = new Command("judge", "Checks a history once more that --record has written.") { file };
        judge.SetAction(parsed => RecordFile.Judge(parsed.GetValue(file)!));
        root.Add(judge);

        var name = new Argument<string>("name");
        var serve = new Command(Server.Verb) { Hidden = true };
        serve.Add(name);
        serve.SetAction((parsed, stop) => Server.RunAsync(parsed.GetValue(name)!, stop));
        root.Add(serve);
        return root.Parse(arguments).InvokeAsync();
    }
}

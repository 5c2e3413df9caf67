using System.CommandLine;
using JobLocks.Benchmarks.Cases;
using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks;

/// <summary>Compares JobLocks with its peers, all on the same server in the same run.</summary>
internal static class Program
{
    private const int GoalMissed = 1;
    private const int BadInput = 2;

    // After Ctrl+C there are other processes and a server to be ended.
    private static readonly InvocationConfiguration Ending = new() { ProcessTerminationTimeout = TimeSpan.FromSeconds(30) };

    public static Task<int> Main(string[] arguments)
    {
        var cases = AllCases.Create();
        var names = string.Join(", ", cases.Select(static one => one.Name));
        var only = new Option<string[]>("--only") { Description = $"Run this case alone; may be given several times. One of: {names}." };
        only.Validators.Add(result =>
        {
            foreach (var unknown in result.Tokens.Where(token => !cases.Any(one => Is(one, token.Value)))) result.AddError($"There is no case \"{unknown.Value}\". Use one of: {names}.");
        });
        var quick = new Option<bool>("--quick") { Description = "A quick look, in two minutes: what takes long is left out, unless --only asks for it." };
        var json = new Option<string>("--json") { Description = "Write the rows to this file too." };
        json.Validators.Add(static result =>
        {
            if (result.Tokens.Count == 1 && JsonFile.WhyNot(result.Tokens[0].Value) is { } reason) result.AddError(reason);
        });

        var root = new RootCommand("Compares JobLocks with its peers on one PostgreSQL. Ends with 0 when all goals are reached, with 1 when not.") { only, quick, json };
        root.SetAction(async (parsed, stop) =>
        {
            var isQuick = parsed.GetValue(quick);
            var chosen = parsed.GetValue(only) is { Length: > 0 } asked ? cases.Where(one => asked.Any(name => Is(one, name))) : cases.Where(one => !isQuick || !one.TakesLong);
            var session = new Session([.. chosen], isQuick ? Effort.Quick : Effort.Full, parsed.GetValue(json));
            try
            {
                return await session.RunAsync(stop) ? 0 : GoalMissed;
            }
            catch (NoServerException reason)
            {
                return Refuse(reason.Message);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                Bench.Say("Stopped.");
                return GoalMissed;
            }
        });
        root.Add(ChildVerb());
        root.Add(ServeVerb());

        var command = root.Parse(arguments);
        return command.Errors.Count == 0 ? command.InvokeAsync(Ending) : Task.FromResult(Refuse(command.Errors[0].Message));
    }

    /// <summary>The program starts itself again where a case needs another process.</summary>
    private static Command ChildVerb()
    {
        var side = new Argument<string>("side");
        var verb = new Command(Child.Verb) { Hidden = true };
        verb.Add(side);
        verb.SetAction((parsed, stop) =>
        {
            var isOurs = string.Equals(parsed.GetValue(side), Child.Ours, StringComparison.Ordinal);
            return new Child(new(new(Connection), Effort.Full), isOurs).RunAsync(stop);
        });
        return verb;
    }

    private static Command ServeVerb()
    {
        var way = new Argument<WaitingWay>("way");
        var node = new Argument<string>("node");
        var verb = new Command(WaitingServer.Verb) { Hidden = true };
        verb.Add(way);
        verb.Add(node);
        verb.SetAction((parsed, stop) => WaitingServer.RunAsync(Connection, parsed.GetValue(way), parsed.GetValue(node)!, stop));
        return verb;
    }

    private static string Connection =>
        Environment.GetEnvironmentVariable(Child.ConnectionVariable) ?? throw new InvalidOperationException($"{Child.ConnectionVariable} is not set.");

    private static bool Is(ICase one, string name) => string.Equals(one.Name, name, StringComparison.Ordinal);

    private static int Refuse(string why)
    {
        Console.Error.WriteLine(why);
        return BadInput;
    }
}

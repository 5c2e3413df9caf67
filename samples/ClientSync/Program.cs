using System.CommandLine;
using System.Globalization;

namespace ClientSync;

/// <summary>Two servers, two schedulers, one lock for each client.</summary>
internal static class Program
{
    private const int BadInput = 2;

    public static Task<int> Main(string[] arguments)
    {
        var withoutLocks = new Option<bool>("--without-locks") { Description = "Do the same work without locks, and see the damage." };
        var conflict = new Option<string>("--conflict") { Description = "What a sync does when the client is being synchronised already.", DefaultValueFactory = static _ => "wait" };
        conflict.AcceptOnlyFromAmong("wait", "reschedule", "skip", "fail");
        var rounds = Number("--rounds", "How often each client is offered to each scheduler.", 3, most: 100);
        var servers = Number("--servers", "How many server processes are started.", 2, most: 16);
        var feed = new Option<string>("--feed") { Description = "The reports to import, in the columns of wildlife-strikes.csv.", DefaultValueFactory = static _ => Settings.DefaultFeed };

        var dashboards = new Option<bool>("--dashboards") { Description = "Serve Hangfire's dashboard and the page of the locks meanwhile." };
        var stay = new Option<bool>("--stay") { Description = "With --dashboards: go on serving them until Ctrl+C." };

        var port = new Option<int>("--port") { Description = "With --dashboards: where to serve them; 0 for a port that is free." };

        var root = new RootCommand("Synchronises clients through Hangfire and Quartz at once, under [JobLock(\"sync({clientId})\")].") { withoutLocks, conflict, rounds, servers, feed, dashboards, stay, port };
        root.SetAction((parsed, stop) => DemonstrateAsync(
            new(
                parsed.GetValue(withoutLocks) ? Choice.WithoutLocks : Enum.Parse<Choice>(parsed.GetValue(conflict)!, ignoreCase: true),
                parsed.GetValue(rounds),
                parsed.GetValue(servers),
                parsed.GetValue(feed)!,
                parsed.GetValue(dashboards),
                parsed.GetValue(stay),
                parsed.GetValue(port)),
            stop));

        // The sample starts itself again as a server.
        var name = new Argument<string>("name");
        var serve = new Command("serve") { Hidden = true };
        serve.Add(name);
        serve.Add(feed);
        serve.SetAction((parsed, stop) => Server.RunAsync(parsed.GetValue(name)!, StrikeFeed.Read(parsed.GetValue(feed)!), stop));
        root.Add(serve);

        var command = root.Parse(arguments);
        return command.Errors.Count == 0 ? command.InvokeAsync() : Task.FromResult(Refuse(command.Errors[0].Message));
    }

    private static async Task<int> DemonstrateAsync(Settings settings, CancellationToken stop)
    {
        try
        {
            // Read to its end before anything is imported.
            var feed = StrikeFeed.Read(settings.FeedFile);
            return await new Demonstration(settings, feed).RunAsync(stop);
        }
        catch (BadFeedException bad)
        {
            return Refuse(bad.Message);
        }
    }

    private static Option<int> Number(string name, string description, int usually, int most)
    {
        var option = new Option<int>(name) { Description = $"{description} 1 to {most}.", DefaultValueFactory = _ => usually };
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && int.TryParse(result.Tokens[0].Value, CultureInfo.InvariantCulture, out var value) && (value < 1 || value > most)) result.AddError($"{name} is {value}, but must be from 1 to {most}.");
        });
        return option;
    }

    private static int Refuse(string why)
    {
        Console.Error.WriteLine(why);
        return BadInput;
    }
}

using System.Globalization;
using Spectre.Console;

namespace ClientSync;

/// <summary>What a person sees: bars and a table on a terminal, plain lines elsewhere.</summary>
internal static class Screen
{
    private const int ShownClients = 10;

    private static bool IsTerminal => !Console.IsOutputRedirected;

    public static void Introduce(Settings settings, StrikeFeed feed, string source)
    {
        var how = settings.Choice == Choice.WithoutLocks ? "without locks" : $"under [JobLock(\"sync({{clientId}})\")], on a conflict: {settings.Choice.ToString().ToLowerInvariant()}";
        Line($"{Number(feed.Count)} reports of {feed.Clients.Count} clients, each offered {settings.Rounds} times to Hangfire and to Quartz, {how}.");
        Line($"The feed gives {StrikeFeed.PageSize} reports at a time and takes {StrikeFeed.PageTime.TotalMilliseconds} ms for it.");
        Line($"Database: {source}.");
    }

    public static void Present(IEnumerable<ServerProcess> servers) =>
        Line($"Servers: {string.Join(", ", servers.Select(static server => $"{server.Name} (process {server.Id})"))}.");

    public static void Invite(IEnumerable<string> addresses)
    {
        foreach (var address in addresses) Line($"Look at {address}");
    }

    /// <summary>Until Ctrl+C.</summary>
    public static async Task StayAsync(CancellationToken stop)
    {
        Line("The dashboards stay until Ctrl+C.");
        await Task.Delay(Timeout.InfiniteTimeSpan, stop).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    /// <summary>Shows progress while work goes on. The work says how many reports are in and how many runs have ended.</summary>
    public static async Task WatchAsync(int reports, int runs, Func<Action<long, long>, Task> work)
    {
        if (!IsTerminal)
        {
            await work(static (_, _) => { });
            return;
        }

        await AnsiConsole.Progress().Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn()).StartAsync(async progress =>
        {
            var imported = progress.AddTask("reports imported", maxValue: reports);
            var ended = progress.AddTask("runs ended", maxValue: runs);
            await work((reportsNow, runsNow) => (imported.Value, ended.Value) = (reportsNow, runsNow));
        });
    }

    public static void Show(Verdict verdict, StrikeFeed feed)
    {
        var table = new Table { Border = IsTerminal ? TableBorder.Rounded : TableBorder.Ascii };
        table.AddColumns("client", "reports", "runs", "waits", "skipped", "later", "failed");
        table.Columns[0].NoWrap();
        foreach (var column in table.Columns.Skip(1)) column.RightAligned();

        var biggest = verdict.Clients.OrderByDescending(static client => client.Reports).ThenBy(static client => client.ClientId).Take(ShownClients).ToList();
        foreach (var client in biggest) Add(table, $"{client.ClientId} {feed.Clients[client.ClientId]}", [client]);
        var rest = verdict.Clients.Except(biggest).ToList();
        if (rest.Count > 0) Add(table, $"the other {rest.Count}", rest);

        AnsiConsole.Write(table);
        Line($"From the end of a run to the next one of the same client: {Number((long)verdict.MedianGap.TotalMilliseconds)} ms, in the median.");
        Line($"While a run of a client waited, the lock of the client was free for {verdict.FreeWhileWaiting.ToString("0 %", CultureInfo.InvariantCulture)} of the time.");
        Line(
            $"{Number(verdict.Imported)} of {Number(verdict.Expected)} reports imported, {Number(verdict.Duplicates)} duplicates, {Number(verdict.Overlaps)} overlaps, "
            + $"in {verdict.Time.TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture)} s.");
    }

    private static void Add(Table table, string name, IReadOnlyCollection<ClientResult> clients) => table.AddRow(
        Markup.Escape(name),
        Number(clients.Sum(static client => client.Reports)),
        Number(clients.Sum(static client => client.Runs)),
        Number(clients.Sum(static client => client.Waits)),
        Number(clients.Sum(static client => client.Skipped)),
        Number(clients.Sum(static client => client.Rescheduled)),
        Number(clients.Sum(static client => client.Failed)));

    private static string Number(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    private static void Line(string text) => Console.WriteLine(text);
}

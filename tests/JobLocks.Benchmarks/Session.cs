using System.Diagnostics;
using System.Globalization;
using JobLocks.Benchmarks.Cases;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Testing.Postgres;

namespace JobLocks.Benchmarks;

/// <summary>All chosen cases, one after the other, on one server.</summary>
internal sealed class Session(IReadOnlyList<ICase> cases, Effort effort, string? jsonFile)
{
    // Two peers of 200 callers each must find room, even when one has not quite gone.
    private const string ServerSettings = "max_connections = 500";

    /// <returns>Whether all goals are reached.</returns>
    public async Task<bool> RunAsync(CancellationToken stop)
    {
        await using var server = await StartServerAsync(stop);
        await using var database = new Database(server.ConnectionString);
        await Surroundings.PrintAsync(server, database, stop);

        var rows = new List<Row>();
        foreach (var chosen in cases) rows.AddRange(await RunAsync(chosen, new(database, effort), stop));

        ResultTable.Print(rows);
        if (jsonFile is not null) await JsonFile.WriteAsync(jsonFile, rows);

        var goals = rows.Where(static row => row.IsReached is not null).ToList();
        var reached = goals.Count(static row => row.IsReached == true);
        Console.WriteLine($"{reached} of {goals.Count} goals reached.");
        return reached == goals.Count;
    }

    private static async Task<PostgresServer> StartServerAsync(CancellationToken stop)
    {
        try
        {
            return await PostgresServer.StartAsync(ServerSettings, stop);
        }
        catch (InvalidOperationException reason)
        {
            throw new NoServerException(reason);
        }
    }

    private static async Task<IReadOnlyList<Row>> RunAsync(ICase chosen, Bench bench, CancellationToken stop)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            return await chosen.RunAsync(bench, stop);
        }
        catch (Exception reason) when (!stop.IsCancellationRequested)
        {
            // The other cases can still be answered.
            return [Row.Broken(chosen.Name, reason)];
        }
        finally
        {
            Bench.Say(string.Create(CultureInfo.InvariantCulture, $"{chosen.Name}: done in {Stopwatch.GetElapsedTime(started).TotalSeconds:0.0} s"));
        }
    }
}

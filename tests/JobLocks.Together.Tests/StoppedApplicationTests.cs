using JobLocks.Chaos;
using JobLocks.Testing.Postgres;
using Npgsql;

namespace JobLocks.Together.Tests;

/// <summary>Applications with both schedulers, each in a process of its own, that stop or are killed while their runs wait.</summary>
[Category("Long")]
[TestFixture, CancelAfter(240_000)]
public sealed class StoppedApplicationTests
{
    private const string Other = "other";
    private const string Third = "third";

    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    private PostgresServer _server = null!;
    private NpgsqlDataSource _database = null!;
    private History _history = null!;
    private AdvisoryLocks _byHand = null!;
    private readonly Dictionary<string, Offers> _offers = [];
    private readonly List<ServerProcess> _processes = [];
    private int _offered;

    [OneTimeSetUp]
    public async Task Prepare()
    {
        _server = await PostgresServer.StartAsync();
        _database = NpgsqlDataSource.Create(_server.ConnectionString);
        _history = new(_database);
        await _history.PrepareAsync(CancellationToken.None);
        foreach (var application in new[] { Server.MainApplication, Other, Third })
        {
            await _history.RunAsync($"CREATE SCHEMA IF NOT EXISTS {application}_quartz", CancellationToken.None);
            _offers[application] = await Offers.PrepareAsync(_server.ConnectionString, application, _history, CancellationToken.None);
        }

        _byHand = AdvisoryLocks.Connect(_server.ConnectionString);
    }

    [TearDown]
    public async Task StopProcesses()
    {
        await Task.WhenAll(_processes.Select(static process => process.DisposeAsync().AsTask()));
        _processes.Clear();
    }

    [OneTimeTearDown]
    public async Task Stop()
    {
        await _byHand.DisposeAsync();
        foreach (var offers in _offers.Values) await offers.DisposeAsync();
        await _database.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Test]
    public async Task Keep_no_free_lock_from_others_and_run_what_waited_once_when_they_come_back(CancellationToken stop)
    {
        const string name = "left";
        var held = await _byHand.AcquireAsync(name, Soon, stop);
        var processes = await Task.WhenAll(StartAsync("stopping", Server.MainApplication, stop), StartAsync("killed", Other, stop), StartAsync("going on", Third, stop));
        List<int> left = [];
        for (var i = 0; i < 2; i++)
        {
            left.AddRange(await ParkBothAsync(Server.MainApplication, name, stop));
            left.AddRange(await ParkBothAsync(Other, name, stop));
        }

        await processes[0].DisposeAsync();
        _processes.Remove(processes[1]);
        await processes[1].KillAsync();
        await held.DisposeAsync();

        held = await _byHand.AcquireAsync(name, Soon, stop);
        var third = await ParkBothAsync(Third, name, stop);
        await held.DisposeAsync();
        await LeftAsync(third, stop);
        await using (await _byHand.AcquireAsync(name, Soon, stop))
        {
        }

        var (enteredMeanwhile, waiting) = (await EnteredAsync(left, stop), await CountLineAsync(name, stop));
        await Task.WhenAll(StartAsync("back", Server.MainApplication, stop), StartAsync("also back", Other, stop));
        await LeftAsync(left, stop);
        await UntilAsync(() => CountLineAsync(name, stop), static count => count == 0, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(enteredMeanwhile, Is.Empty);
            Assert.That(waiting, Is.EqualTo(left.Count));
            Assert.That(await EnteredAsync(left, stop), Is.EquivalentTo(left), "each once");
        }
    }

    [Test]
    public async Task Hand_over_to_a_new_deployment_so_that_each_run_comes_once_and_in_order(CancellationToken stop)
    {
        const string duringTheStop = "during";
        const string afterTheStop = "after";
        var (during, after) = (await _byHand.AcquireAsync(duringTheStop, Soon, stop), await _byHand.AcquireAsync(afterTheStop, Soon, stop));
        var old = await StartAsync("old", Server.MainApplication, stop);
        List<int> first = [], second = [];
        for (var i = 0; i < 3; i++)
        {
            first.AddRange(await ParkBothAsync(Server.MainApplication, duringTheStop, stop));
            second.AddRange(await ParkBothAsync(Server.MainApplication, afterTheStop, stop));
        }

        await StartAsync("young", Server.MainApplication, stop);
        // Two stores in two processes.
        await UntilAsync(() => CountAsync("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1246524276 AND objsubid = 2 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", stop), static count => count == 4, stop);
        var stopping = old.DisposeAsync().AsTask();
        await during.DisposeAsync();
        await LeftAsync(first, stop);
        await stopping;
        await after.DisposeAsync();
        await LeftAsync(second, stop);
        await UntilAsync(() => CountLineAsync(afterTheStop, stop), static count => count == 0, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((await EnteredAsync(first, stop)).Distinct(), Is.EqualTo(first));
            Assert.That(await EnteredAsync(second, stop), Is.EqualTo(second));
            Assert.That(
                (await _history.ReadAsync(stop)).Where(one => one.Act == Act.Enter && second.Contains(one.Run)).Select(static one => one.Process), Is.All.EqualTo("young"));
        }
    }

    private async Task<ServerProcess> StartAsync(string name, string application, CancellationToken stop)
    {
        var process = await ServerProcess.StartAsync(name, _server.ConnectionString, application, stop);
        lock (_processes) _processes.Add(process);
        return process;
    }

    /// <summary>Has a run of each scheduler wait.</summary>
    private async Task<IReadOnlyList<int>> ParkBothAsync(string application, string name, CancellationToken stop)
    {
        List<int> runs = [];
        foreach (var isForHangfire in new[] { true, false })
        {
            var parked = await CountParkedAsync(name, stop);
            runs.Add(++_offered);
            await _offers[application].OfferAsync([new(_offered, name, "", Kind.Alone, isForHangfire, 1)], stop);
            await UntilAsync(() => CountParkedAsync(name, stop), count => count == parked + 1, stop);
        }

        return runs;
    }

    /// <summary>Waits until each of the runs has come to its end, and says so where one did twice.</summary>
    private async Task LeftAsync(IReadOnlyList<int> runs, CancellationToken stop)
    {
        var left = await RunsAsync(Act.Leave, runs, stop);
        while (left.Distinct().Count() < runs.Count)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(20), stop);
            left = await RunsAsync(Act.Leave, runs, stop);
        }

        Assert.That(left, Is.EquivalentTo(runs));
    }

    /// <summary>Those of the runs that have begun, in order.</summary>
    private Task<IReadOnlyList<int>> EnteredAsync(IReadOnlyList<int> runs, CancellationToken stop) => RunsAsync(Act.Enter, runs, stop);

    private async Task<IReadOnlyList<int>> RunsAsync(Act act, IReadOnlyList<int> runs, CancellationToken stop) =>
        [.. (await _history.ReadAsync(stop)).Where(one => one.Act == act && runs.Contains(one.Run)).Select(static one => one.Run)];

    private Task<long> CountParkedAsync(string name, CancellationToken stop) => CountAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE parked AND name = '{name}'", stop);

    private Task<long> CountLineAsync(string name, CancellationToken stop) => CountAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE name = '{name}'", stop);

    private Task<long> CountAsync(string sql, CancellationToken stop) => _history.AskAsync<long>(sql, stop);

    /// <summary>The test's own limit ends it.</summary>
    private static async Task UntilAsync(Func<Task<long>> ask, Func<long, bool> isSo, CancellationToken stop)
    {
        while (!isSo(await ask())) await Task.Delay(TimeSpan.FromMilliseconds(20), stop);
    }
}

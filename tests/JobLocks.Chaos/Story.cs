using System.Diagnostics;
using JobLocks.Testing.Postgres;
using Npgsql;

namespace JobLocks.Chaos;

/// <summary>Offers at random, faults at random, and at the end the verdict.</summary>
internal sealed class Story(int seed, TimeSpan time, int processes, bool isCalm, IReadOnlyList<Upheaval> without, FileInfo? recordFile)
{
    private const int Storm = 30;

    /// <summary>Whatever can still run. A continuation of a parent that fires no more cannot; what it means is for the checker to say.</summary>
    private const string Open =
        """
        SELECT (SELECT count(*) FROM chaos_hangfire.job WHERE statename IN ('Enqueued', 'Scheduled', 'Processing'))
             + (SELECT count(*) FROM chaos_quartz.qrtz_fired_triggers)
             + (SELECT count(*)
                FROM   chaos_quartz.qrtz_triggers AS t
                WHERE  trigger_state NOT IN ('COMPLETE', 'ERROR')
                AND    NOT (trigger_state = 'AWAITING' AND EXISTS (
                           SELECT FROM chaos_quartz.qrtz_triggers AS p
                           WHERE  p.trigger_name = t.continues_trigger_name
                           AND    p.trigger_group = t.continues_trigger_group
                           AND    p.trigger_state IN ('COMPLETE', 'ERROR', 'AWAITING'))))
        """;

    /// <summary>Those of runs: who sweeps the line keeps a lock of another kind.</summary>
    private const string Locked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1";

    private const string Terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = ";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(100);

    // Of a thousand steps.
    private const int Kills = 4;
    private const int Terminations = 6;
    private const int Deletions = 10;
    private const int Storms = 3;

    private readonly Random _random = new(seed);
    private readonly Draw _draw = new(seed);
    private int _started;
    private int _killed;
    private int _terminated;
    private int _deleted;

    public async Task<int> RunAsync(CancellationToken stop)
    {
        Console.WriteLine(FormattableString.Invariant($"seed {seed}, {time.TotalSeconds:0} s, {processes} processes{(isCalm ? ", calm" : "")}"));
        await using var postgres = await PostgresServer.StartAsync(stop);
        await using var database = NpgsqlDataSource.Create(postgres.ConnectionString);
        var history = new History(database);
        await history.PrepareAsync(stop);
        await using var offers = await Offers.PrepareAsync(postgres.ConnectionString, Server.MainApplication, history, stop);
        var upheavals = new Upheavals(new(seed), history, offers, _draw, postgres.ConnectionString, isCalm ? Enum.GetValues<Upheaval>() : without);
        await history.WatchAsync(stop);

        var onlooker = new Onlooker(offers.Inspector, history, offers.RunOf);
        using var seenEnough = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var watching = onlooker.WatchAsync(seenEnough.Token);
        var servers = new List<ServerProcess>();
        try
        {
            await StartAllAsync();
            var began = Stopwatch.GetTimestamp();
            // However short the history is, some runs of each scheduler have to wait.
            await StormAsync(offers, stop);
            while (Stopwatch.GetElapsedTime(began) < time)
            {
                if (!await upheavals.StepAsync(servers, StartAllAsync, stop)) await StepAsync(history, offers, servers, postgres.ConnectionString, stop);
            }

            await upheavals.ComeBackAsync(servers, stop);

            var left = await UntilNoneAsync(history, Open, stop);
            var locked = await UntilNoneAsync(history, Locked, stop);
            // What they had to do with the line is over when they are.
            await Task.WhenAll(servers.Select(static server => server.DisposeAsync().AsTask()));
            await seenEnough.CancelAsync();
            await watching;
            return await JudgeAsync(history, offers, onlooker.Looks, upheavals.Counts, left, locked, stop);
        }
        finally
        {
            await Task.WhenAll(servers.Select(static server => server.DisposeAsync().AsTask()));
        }

        async Task StartAllAsync()
        {
            for (var i = 0; i < processes; i++) servers.Add(await StartNextAsync(postgres.ConnectionString, stop));
        }
    }

    private async Task StepAsync(History history, Offers offers, List<ServerProcess> servers, string connectionString, CancellationToken stop)
    {
        var dice = _random.Next(1000);
        if (_random.Next(1000) < Storms) await StormAsync(offers, stop);
        else if (!isCalm && dice < Kills) await KillAsync(history, servers, connectionString, stop);
        else if (!isCalm && dice < Kills + Terminations) await TerminateAsync(history, servers, stop);
        else if (!isCalm && dice < Kills + Terminations + Deletions) await DeleteAsync(history, offers, stop);
        else await offers.OfferAsync(_draw.Next(), stop);
    }

    private Task StormAsync(Offers offers, CancellationToken stop) => Task.WhenAll(Enumerable.Range(0, Storm).Select(_ => offers.OfferAsync(_draw.Next(), stop)));

    private async Task KillAsync(History history, List<ServerProcess> servers, string connectionString, CancellationToken stop)
    {
        var victim = servers[_random.Next(servers.Count)];
        history.Add(Act.Kill, victim.Name);
        await victim.KillAsync();
        history.Add(Act.Struck, victim.Name);
        servers.Remove(victim);
        _killed++;
        servers.Add(await StartNextAsync(connectionString, stop));
    }

    private Task<ServerProcess> StartNextAsync(string connectionString, CancellationToken stop) =>
        ServerProcess.StartAsync(FormattableString.Invariant($"server-{++_started}"), connectionString, Server.MainApplication, stop);

    private async Task TerminateAsync(History history, List<ServerProcess> servers, CancellationToken stop)
    {
        var victim = servers[_random.Next(servers.Count)];
        history.Add(Act.Terminate, victim.Name);
        await history.AskAsync<long>($"{Terminate}'{victim.Name}'", stop);
        history.Add(Act.Struck, victim.Name);
        _terminated++;
    }

    private async Task DeleteAsync(History history, Offers offers, CancellationToken stop)
    {
        var waiting = await history.AskAsync<string>("SELECT coalesce((SELECT coalesce(job, run) FROM joblocks.wait_queue WHERE store LIKE 'Hangfire%' ORDER BY entry LIMIT 1 OFFSET " + _random.Next(5) + "), '')", stop);
        if (waiting.Length == 0 || offers.Delete(waiting) is not (> 0 and var run)) return;

        history.Add(Act.Delete, "", run);
        _deleted++;
    }

    /// <summary>After the faults, everything must come to its end.</summary>
    private static async Task<long> UntilNoneAsync(History history, string count, CancellationToken stop)
    {
        var began = Stopwatch.GetTimestamp();
        while (true)
        {
            var left = await history.AskAsync<long>(count, stop);
            if (left == 0 || Stopwatch.GetElapsedTime(began) > Patience) return left;

            await Task.Delay(Glance, stop);
        }
    }

    private async Task<int> JudgeAsync(History history, Offers offers, IReadOnlyList<Look> looks, IReadOnlyDictionary<Upheaval, int> upheavals, long left, long locked, CancellationToken stop)
    {
        var record = new Record(await history.ReadAsync(stop), offers.All, looks)
        {
            Writes = await history.ReadWritesAsync(stop),
            Rests = await history.ReadRestsAsync(offers.RunOf, stop),
        };
        if (recordFile is not null) await RecordFile.WriteAsync(recordFile, record, isCalm, stop);
        var wrong = Checker.Check(record, checksOrder: isCalm).ToList();
        if (locked > 0) wrong.Add(FormattableString.Invariant($"{locked} locks left"));
        if (left > 0) wrong.Add(FormattableString.Invariant($"{left} runs had not ended after {Patience}"));
        // What an application has left that was stopped for good is passed over, and kept in case that it comes back.
        var places = (await history.ReadPlacesAsync(stop)).Count(place => !offers.IsOfGuest(place.Scheduler, place.Job));
        if (places > 0) wrong.Add(FormattableString.Invariant($"{places} places left in the line"));
        if (await history.AskAsync<long>("SELECT count(*) FROM chaos_quartz.qrtz_fired_triggers", stop) is > 0 and var fired) wrong.Add(FormattableString.Invariant($"{fired} fired triggers left"));

        Checker.Print(wrong);
        Console.WriteLine(FormattableString.Invariant(
            $"{string.Join(", ", upheavals.Select(static one => FormattableString.Invariant($"{one.Key} {one.Value}")))}"));
        Console.WriteLine(FormattableString.Invariant(
            $"{offers.All.Values.Count(static offer => offer.Parent > 0)} continuations, {record.Writes.Count} counted, {offers.All.Values.Count(static offer => offer.IsInTransaction)} in transactions, {record.Events.Count(static one => one.Act == Act.Make)} made by runs, {offers.All.Values.Count(static offer => offer.Series is not null)} series"));
        Console.WriteLine(FormattableString.Invariant(
            $"{offers.All.Count} runs, {await history.AskAsync<long>("SELECT count(*) FROM chaos.places", stop)} waits, {_killed} kills, {_terminated} sessions ended, {_deleted} deleted, {looks.Sum(static look => look.Shown.Count)} holders shown, {looks.Sum(static look => look.Shown.Count(static shown => shown.Run > 0))} with their runs: {wrong.Count} wrong"));
        return wrong.Count == 0 ? 0 : 1;
    }
}

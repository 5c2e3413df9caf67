using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>What nobody tells is found: the death of a holder, a lost signal, a process that ended between two acts.</summary>
[TestFixture]
public sealed class WaitSweepTests : RealServers
{
    private readonly LogJournal _log = new();

    private protected override HangfireSetup Setup => new() { Loggers = _log };

    [OneTimeTearDown]
    public void End() => _log.Dispose();

    [Test, CancelAfter(60_000)]
    public async Task Wakes_the_next_when_the_session_of_the_holder_is_ended(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        using var held = await other.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);

        await Servers.Locks.BreakAsync(stage.LockName);
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(Servers.States.NamesOf(waiting), Is.EqualTo(["Enqueued", "Processing", "Scheduled", "Processing", "Succeeded"]));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Knows_a_run_that_is_in_its_queue_again_before_a_worker_has_taken_it(CancellationToken stop)
    {
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var (runs, run) = await ParkedAsync(other, stop);
        // Nobody serves that one, so that it can be looked at.
        var turn = run with { Address = run.Address with { Queue = "unserved" } };

        var before = await runs.GetStatesAsync([turn], stop);
        var woken = await runs.WakeAsync([turn], stop);
        var after = await runs.GetStatesAsync([turn], stop);
        await DeleteAsync(run, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((before[0], woken[0], after[0]), Is.EqualTo((ParkedRunState.Parked, ParkedRunState.Starting, ParkedRunState.StartingAnywhere)));
            Assert.That(await Servers.Locks.AskAsync("SELECT count(*) FROM hangfire.jobqueue WHERE queue = 'unserved'"), Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_the_entry_of_a_run_that_was_put_off_for_want_of_an_answer(CancellationToken stop)
    {
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var (runs, run) = await ParkedAsync(other, stop);

        new BackgroundJobClient(Servers[0].Storage).ChangeState(run.Address.Job!, new ScheduledState(TimeSpan.FromMinutes(1)) { Reason = $"Rescheduled: {run.Name} could not be requested." });

        var state = await runs.GetStatesAsync([run], stop);
        await DeleteAsync(run, stop);
        Assert.That(state, Is.EqualTo([ParkedRunState.Rescheduled]));
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_the_next_when_the_session_of_the_one_that_sweeps_is_ended(CancellationToken stop)
    {
        var stage = NewStage();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        using var held = await other.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        await _log.NextAsync("This process sweeps the wait queue for Hangfire", stop);

        await Servers.Locks.RunAsync(
            """
            SELECT pg_terminate_backend(pid)
            FROM   pg_locks
            WHERE  locktype = 'advisory'
            AND    objsubid = 2
            AND    classid = 1246524279
            AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """);
        await Servers.Locks.BreakAsync(stage.LockName);
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Removes_the_entry_of_a_run_that_was_started_by_hand_while_the_table_was_locked(CancellationToken stop)
    {
        var stage = NewStage();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunOrJoin(stage.Id, 1)), stop);
        await using var operatorSession = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(Servers.Database) { Pooling = false }.ConnectionString);
        await operatorSession.OpenAsync(stop);
        var transaction = await operatorSession.BeginTransactionAsync(stop);
        await using (var locksTable = new NpgsqlCommand("LOCK TABLE joblocks.wait_queue IN ACCESS EXCLUSIVE MODE", operatorSession)) await locksTable.ExecuteNonQueryAsync(stop);
        // Each process notices it with its next statement.
        for (var server = 0; server < 2; server++) await (await Servers[server].Locks!.TryAcquireAsync($"notices it {server}", stop))!.DisposeAsync();

        await held!.DisposeAsync();
        Servers.Client.Requeue(waiting);
        await stage.EnteredAsync(stop);
        await transaction.DisposeAsync();

        // While the run goes on, it counts as waiting no longer: no other run may be skipped on its account.
        var line = await Patience.UntilAsync(Servers.Locks.LineAsync, static line => line.Count == 0, stop);
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);
        Assert.That(line, Is.Empty);
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_the_next_run_when_a_foreign_program_releases_the_lock_without_a_notification(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var foreign = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(Servers.Database) { Pooling = false }.ConnectionString);
        await foreign.OpenAsync(stop);
        await AskAsync(foreign, "SELECT pg_advisory_lock($1)", stage.Key.Value, stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);

        await AskAsync(foreign, "SELECT pg_advisory_unlock($1)", stage.Key.Value, stop);
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        Assert.That(stage.Runs, Is.EqualTo(1));
        Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_a_run_that_was_woken_and_of_which_its_store_was_never_told([Values] bool wasAboutToBe, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = await ParkedInLineAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);

        // Its process was killed after it had chosen this one, and before it told the storage: the lock is still held, so nobody else wakes it.
        await Servers.Locks.RunAsync("UPDATE joblocks.wait_queue SET woken = now() - interval '5 s', claimed = $2 WHERE job = $1", waiting, wasAboutToBe);
        await Servers.ParkedAsync(waiting, stop, nth: 2);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        Assert.That(stage.Runs, Is.EqualTo(1));
        Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
    }

    [Test, CancelAfter(60_000)]
    public async Task Leaves_a_run_to_others_where_its_own_process_was_slow_to_wake_it(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = await ParkedInLineAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var runs = HangfireRuns.Of(Servers[0].Storage);
        var late = new WaitingRun(1, stage.Key, stage.LockName, new(runs.Identify(), waiting, "default"), IsParked: true, IsDeliveryClaimed: true, DateTimeOffset.UtcNow) { WakeBy = TimeSpan.Zero };

        await Assert.ThatAsync(async () => await runs.WakeAsync([late], stop), Throws.TypeOf<TimeoutException>());
        var state = await runs.GetStatesAsync([late], stop);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(state, Is.EqualTo([ParkedRunState.Parked]));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_a_run_that_was_parked_and_whose_process_died_before_it_wrote_that_down([Values] bool wasItsTurn, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = await ParkedInLineAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);

        await Servers.Locks.RunAsync(
            wasItsTurn
                ? "UPDATE joblocks.wait_queue SET parked = false, woken = now() - interval '5 s', claimed = false WHERE job = $1"
                : "UPDATE joblocks.wait_queue SET parked = false WHERE job = $1",
            waiting);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        Assert.That(stage.Runs, Is.EqualTo(1));
        Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
    }

    [Test, CancelAfter(60_000)]
    public async Task Removes_the_entry_of_a_run_whose_process_died_before_it_was_parked(CancellationToken stop)
    {
        var (stage, done) = (NewStage(), NewStage());
        stage.LetLeave();
        done.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = await ParkedInLineAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var ended = Servers.Enqueue<SyncJob>(job => job.RunUnlocked(done.Id));
        await Servers.States.NextAsync<SucceededState>(ended, stop);
        await Servers.StoredAsync(ended, "Succeeded", stop);

        // Fetched again by another worker, it has run meanwhile under no lock of ours: its row is left, before that of the run that waits.
        await Servers.Locks.RunAsync(
            """
            INSERT INTO joblocks.wait_queue (entry, key, name, mode, slots, store, run, queue, since)
            SELECT -1, key, name, mode, slots, store, $2, queue, now() - interval '1 h' FROM joblocks.wait_queue WHERE job = $1
            """,
            waiting,
            ended);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        Assert.That(stage.Runs, Is.EqualTo(1));
        Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
    }

    [Test, CancelAfter(60_000)]
    public async Task Heeds_nothing_that_a_stranger_sends_on_its_channel(CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = await ParkedInLineAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var place = await Servers.Locks.AskAsync("SELECT entry || ' ' || store FROM joblocks.wait_queue WHERE job = $1", waiting);
        // The servers listen from some moment on.
        var warned = _log.NextAsync("The channel joblocks brought", stop);
        await Patience.UntilAsync(
            async () =>
            {
                await Servers.Locks.RunAsync("SELECT pg_notify('joblocks', n) FROM unnest(ARRAY['hello', '', '4 Hangfire of nobody', '99999999999999999999 x', $1]) AS n", place!);
                return warned.IsCompleted;
            },
            static isWarned => isWarned,
            stop);
        var statesMeanwhile = Servers.States.NamesOf(waiting);
        stage.LetLeave();
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((await warned).Level, Is.EqualTo(LogLevel.Warning));
            Assert.That(statesMeanwhile, Is.EqualTo(["Enqueued", "Processing", "Scheduled"]));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    /// <summary>A run that waits until the end of the test, and the runs of its storage.</summary>
    private async Task<(HangfireRuns Runs, WaitingRun Run)> ParkedAsync(AdvisoryLocks other, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        Assert.That(held, Is.Not.Null, "held until the end of the test, so that nobody else wakes the run");
        var id = await ParkedInLineAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var runs = HangfireRuns.Of(Servers[0].Storage);
        return (runs, new(1, stage.Key, stage.LockName, new(runs.Id!, id, "default") { Job = id }, IsParked: true, IsDeliveryClaimed: true, Since: default));
    }

    private async Task DeleteAsync(WaitingRun run, CancellationToken stop)
    {
        Servers.Client.Delete(run.Address.Job!);
        await Patience.UntilAsync(() => Servers.Locks.AskAsync("SELECT count(*) FROM joblocks.wait_queue WHERE job = $1", run.Address.Job!), static left => left is 0L, stop);
    }

    /// <summary>The line knows that it is parked, a moment after Hangfire has said so.</summary>
    private async Task<string> ParkedInLineAsync(string run, CancellationToken stop)
    {
        await Servers.ParkedAsync(run, stop);
        await Patience.UntilAsync(() => Servers.Locks.AskAsync("SELECT parked FROM joblocks.wait_queue WHERE job = $1", run), static parked => parked is true, stop);
        return run;
    }

    private static async Task AskAsync(NpgsqlConnection connection, string sql, long key, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = key } } };
        await command.ExecuteScalarAsync(stop);
    }
}

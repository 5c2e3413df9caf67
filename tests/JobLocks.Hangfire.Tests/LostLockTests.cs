using System.Collections.Concurrent;
using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire.Tests;

/// <summary>The session that holds the lock of a run ends under the run: locks in the database of the jobs, or in one of their own.</summary>
[TestFixture(false)]
[TestFixture(true)]
public sealed class LostLockTests(bool locksApart) : RealServers
{
    private readonly LogJournal _log = new();

    // One worker for each: the second run of a job is on the other server, and the next job of a server comes after its last run.
    private protected override HangfireSetup Setup => new() { Workers = 1, Loggers = _log };

    private protected override async Task<HangfireServers> StartAsync()
    {
        var jobs = await AssemblySetup.Server.CreateDatabaseAsync("lostjobs");
        return HangfireServers.Start(jobs, Setup with { LockDatabase = locksApart ? await AssemblySetup.Server.CreateDatabaseAsync("lostlocks") : null });
    }

    [Test, CancelAfter(60_000)]
    public async Task Cancels_the_run_whose_lock_was_lost(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<Once>(job => job.Run(stage.Id, CancellationToken.None));

        await LoseLockAsync(stage, stop);

        await WasCancelledAsync(id, stage, stop);
    }

    [Test, CancelAfter(60_000)]
    public async Task Cancels_a_run_by_Hangfires_own_kind_of_token(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<Once>(job => job.RunWithHangfiresToken(stage.Id, JobCancellationToken.Null));

        await LoseLockAsync(stage, stop);

        await WasCancelledAsync(id, stage, stop);
    }

    [Test, CancelAfter(60_000)]
    public async Task Cancels_a_run_that_had_several_locks(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<SeveralLocks>(job => job.Run(stage.Id, CancellationToken.None));

        await LoseLockAsync(stage, stop);

        await WasCancelledAsync(id, stage, stop);
    }

    [Test, CancelAfter(60_000)]
    public async Task Retries_it_by_Hangfires_own_rules(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<Retried>(job => job.Run(stage.Id, CancellationToken.None));

        await LoseLockAsync(stage, stop);
        var later = await Servers.States.NextAsync<ScheduledState>(id, stop);
        await stage.LeftAsync(stop);
        await Servers.StoredAsync(id, ScheduledState.StateName, stop);
        var retries = Servers.Parameter(id, "RetryCount");
        Servers.Client.Requeue(id);
        await stage.EnteredAsync(stop, nth: 2);
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(later.Reason, Does.StartWith("Retry attempt 1 of 1: The lock sync("));
            Assert.That(retries, Is.EqualTo("1"));
            Assert.That(stage.Runs, Is.EqualTo(2));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Drops_what_a_run_returns_that_heeded_no_cancellation(CancellationToken stop)
    {
        var (stage, next) = (NewStage(), NewStage());
        next.LetLeave();
        var id = Servers.Enqueue<Once>(job => job.HeedNothing(stage.Id, CancellationToken.None));
        var first = await LoseLockAsync(stage, stop);
        await Servers.StoredAsync(id, FailedState.StateName, stop);

        stage.LetLeave();
        await stage.LeftAsync(stop);
        await ServedAsync(first, next, stop);

        Assert.That((await Servers.StoredAsync(id, FailedState.StateName, stop)).History[0].StateName, Is.EqualTo(FailedState.StateName));
    }

    [Test, CancelAfter(60_000)]
    public async Task Leaves_the_second_run_to_itself_when_the_first_ends_at_last(CancellationToken stop)
    {
        var (stage, next) = (NewStage(), NewStage());
        next.LetLeave();
        var mayLeave = Stubborn.MayLeave[stage.Id] = new(TaskCreationOptions.RunContinuationsAsynchronously);
        var id = Servers.Enqueue<Stubborn>(job => job.Run(stage.Id, CancellationToken.None));
        var first = await LoseLockAsync(stage, stop);
        await Servers.StoredAsync(id, FailedState.StateName, stop);

        Servers.Client.Requeue(id);
        await stage.EnteredAsync(stop, nth: 2);
        mayLeave.SetResult();
        await ServedAsync(first, next, stop);
        var meanwhile = (await Servers.StoredAsync(id, ProcessingState.StateName, stop)).History[0].StateName;
        stage.LetLeave();
        var end = await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(meanwhile, Is.EqualTo(ProcessingState.StateName));
            Assert.That(end.Reason, Is.Null);
            Assert.That(stage.Runs, Is.EqualTo(2));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Lets_a_run_without_a_token_end_and_says_so(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<Once>(job => job.RunWithoutToken(stage.Id));

        await LoseLockAsync(stage, stop);
        await stage.LeftAsync(stop);
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(id, stop);
        var stored = await Servers.StoredAsync(id, SucceededState.StateName, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stored.History[0].Reason, Does.StartWith("Ended by itself, but without its lock. ").And.Contain(Loss(stage)));
            Assert.That(stored.History.Select(static state => state.StateName), Is.EqualTo(["Succeeded", "Processing", "Enqueued"]));
            Assert.That(Warnings(id), Is.EqualTo([$"Job {id} ended by itself after its lock {stage.LockName} ({stage.Key.Value}) was lost: another run may have been under way"]));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Names_the_lost_lock_when_the_run_stopped_by_itself(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<Once>(job => job.RunWhileLocked(stage.Id));

        await LoseLockAsync(stage, stop);
        var end = await Servers.States.NextAsync<FailedState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Exception, Is.TypeOf<JobLockLostException>().With.InnerException.InstanceOf<OperationCanceledException>());
            Assert.That(end.Exception.Message, Does.StartWith(Loss(stage)));
            Assert.That(end.Reason, Is.EqualTo(end.Exception.Message));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_the_exception_of_a_run_that_failed_without_its_lock(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<Once>(job => job.Fail(stage.Id));

        await LoseLockAsync(stage, stop);
        await stage.LeftAsync(stop);
        stage.LetLeave();
        var end = await Servers.States.NextAsync<FailedState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Exception, Is.TypeOf<InvalidDataException>());
            Assert.That(end.Reason, Does.StartWith("An exception occurred during performance of the job. ").And.Contain(Loss(stage)));
        }
    }

    private static string Loss(Stage stage) => $"The lock {stage.LockName} was lost with the connection that held it: ";

    /// <summary>The run is under way and has been told.</summary>
    private async Task<Stage.Entry> LoseLockAsync(Stage stage, CancellationToken stop)
    {
        var entry = await stage.EnteredAsync(stop);
        var told = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var lost = entry.Handle!.Lost.Register(told.SetResult);
        await Servers.Locks.BreakAsync(stage.LockName);
        await told.Task.WaitAsync(Patience.Limit, stop);
        return entry;
    }

    private async Task WasCancelledAsync(string id, Stage stage, CancellationToken stop)
    {
        var end = await Servers.States.NextAsync<FailedState>(id, stop);
        await stage.LeftAsync(stop);
        var stored = await Servers.StoredAsync(id, FailedState.StateName, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Exception, Is.TypeOf<JobLockLostException>());
            Assert.That(end.Exception.Message, Does.StartWith(Loss(stage)));
            Assert.That(stored.History[0].Reason, Is.EqualTo(end.Exception.Message));
            Assert.That(stored.History.Select(static state => state.StateName), Is.EqualTo(["Failed", "Processing", "Enqueued"]));
            Assert.That(stored.History[0].Data["ServerId"], Is.EqualTo(stored.History[1].Data["ServerId"]));
            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }

    /// <summary>The one worker of a run's server is done with that run, since it has done the next.</summary>
    private async Task ServedAsync(Stage.Entry run, Stage next, CancellationToken stop)
    {
        var server = new[] { Servers[0], Servers[1] }.Single(server => string.Equals(server.Name, run.Handle!.Holder.Application, StringComparison.Ordinal));
        var id = Servers.EnqueueFor<SyncJob>(server, job => job.RunUnlocked(next.Id));
        await Servers.States.NextAsync<SucceededState>(id, stop);
    }

    private IEnumerable<string> Warnings(string id) =>
        _log.Lines.Where(line => line.Level == LogLevel.Warning && line.Text.StartsWith($"Job {id} ", StringComparison.Ordinal)).Select(static line => line.Text);

    [AutomaticRetry(Attempts = 0)]
    public class Once
    {
        [JobLock("sync({stage})")]
        public Task Run(string stage, CancellationToken stop) => Stage.Of(stage).PlayAsync(stop);

        [JobLock("sync({stage})")]
        public Task RunWithHangfiresToken(string stage, IJobCancellationToken stop) => Stage.Of(stage).PlayAsync(stop.ShutdownToken);

        [JobLock("sync({stage})")]
        public Task HeedNothing(string stage, CancellationToken stop) => Stage.Of(stage).PlayAsync(CancellationToken.None);

        [JobLock("sync({stage})")]
        public Task RunWithoutToken(string stage) => Stage.Of(stage).PlayOnAsync();

        [JobLock("sync({stage})")]
        public Task RunWhileLocked(string stage) => Stage.Of(stage).PlayWhileLockedAsync();

        [JobLock("sync({stage})")]
        public async Task Fail(string stage)
        {
            await Stage.Of(stage).PlayOnAsync();
            throw new InvalidDataException("The job itself.");
        }
    }

    [JobLock("sync({stage})"), AutomaticRetry(Attempts = 0)]
    public class SeveralLocks
    {
        [JobLock("also({stage})"), JobLock("and({stage})")]
        public Task Run(string stage, CancellationToken stop) => Stage.Of(stage).PlayAsync(stop);
    }

    /// <summary>Retried when the test says so.</summary>
    [AutomaticRetry(Attempts = 1, DelaysInSeconds = [3600])]
    public class Retried
    {
        [JobLock("sync({stage})")]
        public Task Run(string stage, CancellationToken stop) => Stage.Of(stage).PlayAsync(stop);
    }

    /// <summary>The first run heeds no token and leaves before the second.</summary>
    [AutomaticRetry(Attempts = 0)]
    public class Stubborn
    {
        internal static ConcurrentDictionary<string, TaskCompletionSource> MayLeave { get; } = new(StringComparer.Ordinal);

        [JobLock("sync({stage})")]
        public async Task Run(string stage, CancellationToken stop)
        {
            var isFirst = Stage.Of(stage).Runs == 0;
            var all = Stage.Of(stage).PlayAsync(CancellationToken.None);
            await (isFirst ? MayLeave[stage].Task : all);
        }
    }
}

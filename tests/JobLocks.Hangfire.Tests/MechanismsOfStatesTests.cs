using System.Globalization;
using Hangfire;
using Hangfire.Common;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>What reacts in Hangfire to the states of a run: counters, expiry, continuations, retries, filters that come with Hangfire.</summary>
[TestFixture]
public sealed class MechanismsOfStatesTests : Mechanisms
{
    private const string Wait = nameof(MechanismJob.Wait);
    private const string Reschedule = nameof(MechanismJob.Reschedule);

    [TestCase(Wait), TestCase(Reschedule), CancelAfter(60_000)]
    public async Task Counters_count_the_run_once_when_it_has_succeeded(string method, CancellationToken stop)
    {
        var before = Statistics;
        var (id, _) = await PutOffAsync(
            method,
            async _ =>
            {
                // It may be tried again at this moment.
                var meanwhile = await Patience.UntilAsync(() => Task.FromResult(Statistics), static statistics => statistics.Scheduled == 1, stop);
                using (Assert.EnterMultipleScope())
                {
                    Assert.That((meanwhile.Deleted, meanwhile.Failed, meanwhile.Succeeded), Is.EqualTo((before.Deleted, before.Failed, before.Succeeded)));
                    Assert.That((meanwhile.Enqueued, meanwhile.Processing, meanwhile.Scheduled), Is.EqualTo((0L, 0L, 1L)));
                }
            },
            stop);
        await Servers.StoredAsync(id, SucceededState.StateName, stop);
        var after = await Patience.UntilAsync(() => Task.FromResult(Statistics), statistics => statistics.Succeeded == before.Succeeded + 1, stop);

        Assert.That((after.Succeeded, after.Deleted, after.Failed, after.Scheduled), Is.EqualTo((before.Succeeded + 1, before.Deleted, before.Failed, 0L)));
    }

    [TestCase(Wait), TestCase(Reschedule), CancelAfter(60_000)]
    public async Task The_job_expires_only_when_it_has_succeeded(string method, CancellationToken stop)
    {
        DateTime? meanwhile = null;
        var (id, _) = await PutOffAsync(
            method,
            id =>
            {
                meanwhile = Details(id).ExpireAt;
                return Task.CompletedTask;
            },
            stop);
        var after = await Servers.StoredAsync(id, SucceededState.StateName, stop);

        Assert.That((meanwhile, after.ExpireAt is not null), Is.EqualTo(((DateTime?)null, true)));
    }

    [Test, CancelAfter(60_000)]
    public async Task A_continuation_is_settled_by_what_the_run_comes_to(
        [Values(Wait, Reschedule)] string method,
        [Values(JobContinuationOptions.OnAnyFinishedState, JobContinuationOptions.OnlyOnSucceededState, JobContinuationOptions.OnlyOnDeletedState)] JobContinuationOptions option,
        CancellationToken stop)
    {
        var child = NewStage();
        string? childId = null, grandchildId = null;
        var runsMeanwhile = -1;
        await PutOffAsync(
            method,
            async id =>
            {
                childId = Servers.Client.ContinueJobWith<MechanismJob>(id, job => job.Follow(child.Id), options: option);
                grandchildId = Servers.Client.ContinueJobWith<MechanismJob>(childId, job => job.Follow(child.Id), options: JobContinuationOptions.OnAnyFinishedState);
                // It is refused a second time meanwhile, or is at least looked at again.
                if (string.Equals(method, Reschedule, StringComparison.Ordinal)) await Servers.States.NextAsync<ScheduledState>(id, stop, nth: 2);
                Assert.That(Details(childId).History[0].StateName, Is.EqualTo(AwaitingState.StateName));
                runsMeanwhile = child.Runs;
            },
            stop);
        var runs = option == JobContinuationOptions.OnlyOnDeletedState ? 1 : 2;
        var end = await Servers.StoredAsync(childId!, runs == 1 ? DeletedState.StateName : SucceededState.StateName, stop);
        await Servers.StoredAsync(grandchildId!, SucceededState.StateName, stop);

        Assert.That(runsMeanwhile, Is.Zero);
        Assert.That((end.History[0].StateName, child.Runs), Is.EqualTo((runs == 1 ? DeletedState.StateName : SucceededState.StateName, runs)));
    }

    [TestCase(Wait), TestCase(Reschedule), CancelAfter(60_000)]
    public async Task A_continuation_gets_the_result_of_the_run(string method, CancellationToken stop)
    {
        var child = NewStage();
        string? childId = null;
        await PutOffAsync(
            method,
            id =>
            {
                childId = Servers.Client.ContinueJobWith<MechanismJob>(id, job => job.Follow(child.Id));
                return Task.CompletedTask;
            },
            stop);
        await Servers.StoredAsync(childId!, SucceededState.StateName, stop);

        // What [FromResult] reads.
        Assert.That((Servers.Parameter(childId!, "AntecedentResult"), child.Runs), Is.EqualTo(("42", 1)));
    }

    [TestCase(nameof(MechanismJob.WaitWithoutRetries)), TestCase(nameof(MechanismJob.RescheduleWithoutRetries)), CancelAfter(60_000)]
    public async Task AutomaticRetry_counts_nothing_and_deletes_nothing(string method, CancellationToken stop)
    {
        string? meanwhile = "";
        var (id, stage) = await PutOffAsync(
            method,
            id =>
            {
                meanwhile = Servers.Parameter(id, "RetryCount");
                return Task.CompletedTask;
            },
            stop);
        await Servers.StoredAsync(id, SucceededState.StateName, stop);

        Assert.That((meanwhile, Servers.Parameter(id, "RetryCount"), stage.Runs), Is.EqualTo(((string?)null, (string?)null, 1)));
    }

    [TestCase(nameof(MechanismJob.WaitIdempotently)), TestCase(nameof(MechanismJob.RescheduleIdempotently)), CancelAfter(60_000)]
    public async Task IdempotentCompletion_takes_only_the_real_end_for_the_end(string method, CancellationToken stop)
    {
        string? meanwhile = "";
        var (id, stage) = await PutOffAsync(
            method,
            id =>
            {
                meanwhile = Servers.Parameter(id, "Completion");
                return Task.CompletedTask;
            },
            stop);
        await Servers.StoredAsync(id, SucceededState.StateName, stop);

        Assert.That((meanwhile, stage.Runs), Is.EqualTo(((string?)null, 1)));
        Assert.That(Servers.Parameter(id, "Completion"), Does.Contain("SucceededState"));
    }

    [TestCase(nameof(MechanismJob.WaitAlone)), TestCase(nameof(MechanismJob.RescheduleAlone)), CancelAfter(60_000)]
    public async Task DisableConcurrentExecution_releases_its_lock_while_the_run_is_rescheduled(string method, CancellationToken stop)
    {
        object? meanwhile = null;
        var (id, stage) = await PutOffAsync(
            method,
            async _ => meanwhile = await Servers.Locks.AskAsync("SELECT count(*) FROM hangfire.lock WHERE resource LIKE '%other(%'"),
            stop);
        await Servers.StoredAsync(id, SucceededState.StateName, stop);

        Assert.That((meanwhile, stage.Runs), Is.EqualTo(((object?)0L, 1)));
    }

    [Test, CancelAfter(60_000)]
    public async Task LatencyTimeout_deletes_the_run_that_comes_too_late_and_the_next_one_comes(CancellationToken stop)
    {
        Stage? next = null;
        var (id, stage) = await PutOffAsync(
            nameof(MechanismJob.WaitNotLong),
            async id =>
            {
                next = NewStage();
                await Patience.UntilAsync(() => Task.FromResult(DateTime.UtcNow - Details(id).CreatedAt!.Value), static age => age > TimeSpan.FromSeconds(1.2), stop);
            },
            stop);
        var end = await Servers.StoredAsync(id, DeletedState.StateName, stop);
        next!.LetLeave();
        var after = Create(Wait, stage);
        await Servers.StoredAsync(after, SucceededState.StateName, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.History[0].Reason, Does.Contain("exceeded latency timeout"));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    [TestCase(Wait), TestCase(Reschedule), CancelAfter(60_000)]
    public async Task Latency_and_duration_tell_the_wait_from_the_work(string method, CancellationToken stop)
    {
        var (id, _) = await PutOffAsync(
            method,
            id => Patience.UntilAsync(() => Task.FromResult(DateTime.UtcNow - Details(id).CreatedAt!.Value), static age => age > TimeSpan.FromSeconds(0.5), stop),
            stop);
        var end = (await Servers.StoredAsync(id, SucceededState.StateName, stop)).History[0].Data;

        Assert.That(long.Parse(end["Latency"], CultureInfo.InvariantCulture), Is.GreaterThan(500));
        Assert.That(long.Parse(end["PerformanceDuration"], CultureInfo.InvariantCulture), Is.LessThan(500));
    }

    [Test, CancelAfter(60_000)]
    public async Task State_handlers_see_no_end_of_a_run_that_is_to_come_later([Values(Wait, Reschedule)] string method, CancellationToken stop)
    {
        // All handlers of this process are asked, so only what happens to this job counts.
        var handler = new Handler();
        GlobalStateHandlers.Handlers.Add(handler);
        try
        {
            var meanwhile = -1;
            var (id, _) = await PutOffAsync(
                method,
                id =>
                {
                    meanwhile = handler.Deleted.Entries.Count(deleted => string.Equals(deleted, id, StringComparison.Ordinal));
                    return Task.CompletedTask;
                },
                stop);
            await Servers.StoredAsync(id, SucceededState.StateName, stop);

            Assert.That((meanwhile, handler.Deleted.Entries.Count(deleted => string.Equals(deleted, id, StringComparison.Ordinal))), Is.EqualTo((0, 0)));
        }
        finally
        {
            GlobalStateHandlers.Handlers.Remove(handler);
        }
    }

    private sealed class Handler : IStateHandler
    {
        public Journal<string> Deleted { get; } = new();

        public string StateName => DeletedState.StateName;

        public void Apply(ApplyStateContext context, global::Hangfire.Storage.IWriteOnlyTransaction transaction) => Deleted.Add(context.BackgroundJob.Id);

        public void Unapply(ApplyStateContext context, global::Hangfire.Storage.IWriteOnlyTransaction transaction)
        {
            // Only the end counts.
        }
    }
}

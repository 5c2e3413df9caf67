using Hangfire;
using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>Whatever throws or cancels around a run: its end is Hangfire's own, and its lock is free when the end is known.</summary>
[TestFixture]
public sealed class OtherFiltersTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Frees_the_lock_when_the_job_throws(CancellationToken stop)
    {
        var stage = NewStage();

        var id = Servers.Enqueue<Throws>(job => job.Run(stage.Id));
        var end = await Servers.States.NextAsync<FailedState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Exception.Message, Is.EqualTo("the job itself"));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop), Is.True);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Takes_no_lock_when_a_filter_before_it_throws(CancellationToken stop)
    {
        var stage = NewStage();

        var id = Servers.Enqueue<ThrowsBefore>(job => job.Run(stage.Id));
        var end = await Servers.States.NextAsync<FailedState>(id, stop);

        await EndedAsync(stage, end.Exception.Message, "OnPerforming", runs: 0);
    }

    [Test, CancelAfter(60_000)]
    public async Task Frees_the_lock_when_a_filter_after_it_throws(CancellationToken stop)
    {
        var stage = NewStage();

        var id = Servers.Enqueue<OthersAfter>(job => job.ThrowOnPerforming(stage.Id));
        var end = await Servers.States.NextAsync<FailedState>(id, stop);

        await EndedAsync(stage, end.Exception.Message, "OnPerforming", runs: 0);
    }

    [Test, CancelAfter(60_000)]
    public async Task Frees_the_lock_when_a_filter_after_it_throws_at_the_end(CancellationToken stop)
    {
        var stage = NewStage();

        var id = Servers.Enqueue<OthersAfter>(job => job.ThrowOnPerformed(stage.Id));
        var end = await Servers.States.NextAsync<FailedState>(id, stop);

        await EndedAsync(stage, end.Exception.Message, "OnPerformed", runs: 1);
    }

    [Test, CancelAfter(60_000)]
    public async Task Frees_the_lock_when_a_filter_before_it_throws_at_the_end(CancellationToken stop)
    {
        var stage = NewStage();

        var id = Servers.Enqueue<ThrowsAtTheEnd>(job => job.Run(stage.Id));
        var end = await Servers.States.NextAsync<FailedState>(id, stop);

        await EndedAsync(stage, end.Exception.Message, "OnPerformed", runs: 1);
    }

    [Test, CancelAfter(60_000)]
    public async Task Takes_no_lock_when_a_filter_before_it_cancels(CancellationToken stop)
    {
        var stage = NewStage();

        var id = Servers.Enqueue<CancelsBefore>(job => job.Run(stage.Id));
        var end = await Servers.States.NextAsync<DeletedState>(id, stop);

        await EndedAsync(stage, end.Reason, "Canceled by filter 'MisbehavesAttribute'", runs: 0);
    }

    [Test, CancelAfter(60_000)]
    public async Task Frees_the_lock_when_a_filter_after_it_cancels(CancellationToken stop)
    {
        var stage = NewStage();

        var id = Servers.Enqueue<OthersAfter>(job => job.Cancel(stage.Id));
        var end = await Servers.States.NextAsync<DeletedState>(id, stop);

        await EndedAsync(stage, end.Reason, "Canceled by filter 'MisbehavesAttribute'", runs: 0);
    }

    [Test, CancelAfter(60_000)]
    public async Task Decides_alone_what_becomes_of_a_run_that_it_refused(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.EnqueueFor<OthersAfter>(Servers[0], job => job.Cancel(stage.Id));
        var later = await Servers.States.NextAsync<ScheduledState>(refused, stop);
        await held!.DisposeAsync();
        var end = await Servers.States.NextAsync<DeletedState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(later.Reason, Does.StartWith($"Rescheduled: {stage.LockName}"));
            await EndedAsync(stage, end.Reason, "Canceled by filter 'MisbehavesAttribute'", runs: 0);
        }
    }

    private async Task EndedAsync(Stage stage, string end, string expected, int runs)
    {
        // Hangfire knows the end only after all filters are through; the server knows of the release a moment later.
        var free = await Servers.Locks.IsFreeAtLastAsync(stage.LockName, CancellationToken.None);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end, Is.EqualTo(expected));
            Assert.That(stage.Runs, Is.EqualTo(runs));
            Assert.That(free, Is.True);
        }
    }

    [AutomaticRetry(Attempts = 0)]
    public class Throws
    {
        [JobLock("sync({stage})")]
        public Task Run(string stage)
        {
            Stage.Of(stage).Pass();
            throw new InvalidOperationException("the job itself");
        }
    }

    // Those of a class come before those of its methods.
    [Misbehaves(ThrowsOnPerforming = true), AutomaticRetry(Attempts = 0)]
    public class ThrowsBefore
    {
        [JobLock("sync({stage})")]
        public void Run(string stage) => Stage.Of(stage).Pass();
    }

    [Misbehaves(ThrowsOnPerformed = true), AutomaticRetry(Attempts = 0)]
    public class ThrowsAtTheEnd
    {
        [JobLock("sync({stage})")]
        public void Run(string stage) => Stage.Of(stage).Pass();
    }

    [Misbehaves(Cancels = true)]
    public class CancelsBefore
    {
        [JobLock("sync({stage})")]
        public void Run(string stage) => Stage.Of(stage).Pass();
    }

    [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1), AutomaticRetry(Attempts = 0)]
    public class OthersAfter
    {
        [Misbehaves(ThrowsOnPerforming = true)]
        public void ThrowOnPerforming(string stage) => Stage.Of(stage).Pass();

        [Misbehaves(ThrowsOnPerformed = true)]
        public void ThrowOnPerformed(string stage) => Stage.Of(stage).Pass();

        [Misbehaves(Cancels = true)]
        public void Cancel(string stage) => Stage.Of(stage).Pass();
    }

    [AttributeUsage(AttributeTargets.Class | AttributeTargets.Method)]
    public sealed class MisbehavesAttribute : JobFilterAttribute, IServerFilter
    {
        public bool Cancels { get; set; }

        public bool ThrowsOnPerforming { get; set; }

        public bool ThrowsOnPerformed { get; set; }

        public void OnPerforming(PerformingContext context)
        {
            if (ThrowsOnPerforming) throw new InvalidOperationException(nameof(OnPerforming));
            context.Canceled = Cancels;
        }

        public void OnPerformed(PerformedContext context)
        {
            if (ThrowsOnPerformed) throw new InvalidOperationException(nameof(OnPerformed));
        }
    }
}

using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>However a run ends, its lock is free afterwards; while it runs, nobody else gets it.</summary>
public sealed class EndTests : QuartzFixture
{
    [Test]
    public async Task Frees_the_lock_when_the_job_throws([Values] Store store, [Values] bool byHand)
    {
        var node = await StartNodeAsync(store, node => node with { ByHand = byHand });
        Scene.Act = static _ => throw new InvalidOperationException("This job throws.");

        await node.RunAsync<ReschedulingJob>(Scene);
        var (context, _) = await node.Told.NextEndAsync();
        await LockIsFreeAsync();

        Assert.That(context.Outcome, Is.EqualTo(ExecutionOutcome.Failed));
    }

    [Test]
    public async Task Frees_the_lock_when_the_job_is_interrupted([Values] Store store, [Values] bool byHand)
    {
        var node = await StartNodeAsync(store, node => node with { ByHand = byHand });
        Scene.Act = static run => run.UntilToldOrStoppedAsync();

        var fired = await node.RunAsync<ReschedulingJob>(Scene);
        await Scene.NextRunAsync();
        await node.Scheduler.Interrupt(fired.JobKey);
        var (context, _) = await node.Told.NextEndAsync();
        await LockIsFreeAsync();

        Assert.That(context.Outcome, Is.EqualTo(ExecutionOutcome.Cancelled));
    }

    [Test]
    public async Task Interrupts_the_run_when_its_lock_is_lost([Values] Store store, [Values] bool byHand)
    {
        var node = await StartNodeAsync(store, node => node with { ByHand = byHand });
        Scene.Act = static run => run.UntilToldOrStoppedAsync();

        await node.RunAsync<ReschedulingJob>(Scene);
        await Scene.NextRunAsync();
        await AskAsync(
            """
            SELECT pg_terminate_backend(pid)
            FROM   pg_locks
            WHERE  locktype = 'advisory'
            AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())
            """);
        var (context, thrown) = await node.Told.NextEndAsync();
        await LockIsFreeAsync();

        // Only middleware can tell Quartz that a run which was stopped is not done.
        using (Assert.EnterMultipleScope())
        {
            Assert.That(context.Outcome, Is.EqualTo(byHand ? ExecutionOutcome.Cancelled : ExecutionOutcome.Failed));
            Assert.That(thrown?.Message, byHand ? Is.Null : Does.Contain(Scene.LockName).And.Contain("lost"));
        }
    }

    [Test]
    public async Task Runs_again_after_a_lost_lock_where_a_retry_policy_says_so([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        Scene.Act = static run => run.Context.RetryAttempt == 0 ? run.UntilToldOrStoppedAsync() : Task.CompletedTask;

        await node.RunAsync<SkippingJob>(Scene, static trigger => trigger.WithRetryPolicy(RetryPolicy.Fixed(1, TimeSpan.FromSeconds(1))));
        await Scene.NextRunAsync();
        await AskAsync("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            + " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
        var second = await Scene.NextRunAsync();

        Assert.That(second.Handle, Is.Not.Null);
    }

    [Test]
    public async Task Holds_the_lock_of_a_run_that_outlives_its_scheduler([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        Scene.Act = static run => run.UntilToldAsync();
        await node.RunAsync<ReschedulingJob>(Scene);
        var run = await Scene.NextRunAsync();

        await node.Scheduler.Shutdown(waitForJobsToComplete: false);
        var others = await OthersTryAsync();
        run.Leave();
        await LockIsFreeAsync();
        await EndAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(others, Is.Null);
            Assert.That(run.Handle!.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test]
    public async Task Tells_a_run_that_outlives_its_container_to_stop()
    {
        var node = await StartNodeAsync(Store.Ram);
        Scene.Act = static run => run.UntilToldAsync();
        await node.RunAsync<ReschedulingJob>(Scene);
        var run = await Scene.NextRunAsync();

        await EndAsync(node);
        var isLost = run.Handle!.Lost.IsCancellationRequested;
        await LockIsFreeAsync();
        run.Leave();

        Assert.That(isLost, Is.True);
    }

    [Test]
    public async Task Waits_for_a_run_and_its_lock_when_the_scheduler_is_told_to([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        Scene.Act = static run => run.UntilToldAsync();
        await node.RunAsync<ReschedulingJob>(Scene);
        var run = await Scene.NextRunAsync();

        var shutdown = node.Scheduler.Shutdown(waitForJobsToComplete: true).AsTask();
        var others = await OthersTryAsync();
        run.Leave();
        await shutdown.Soon();
        await LockIsFreeAsync();
        await EndAsync(node);

        Assert.That(others, Is.Null);
    }
}

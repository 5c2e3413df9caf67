using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>Other listeners and middleware have their say too.</summary>
public sealed class ListenerTests : QuartzFixture
{
    [Test]
    public async Task Frees_the_lock_when_another_listener_vetoes([Values] Store store, [Values] bool before, [Values] bool byHand)
    {
        var node = await StartNodeAsync(store, node => With(node, new Meddler { IsVeto = true }, before) with { ByHand = byHand });

        await node.RunAsync<ReschedulingJob>(Scene);
        await node.Told.NextVetoAsync();
        await LockIsFreeAsync();

        Assert.That(Scene.Begun, Is.Zero);
    }

    [Test]
    public async Task Frees_the_lock_when_another_listener_throws([Values] Store store, [Values] bool before, [Values] bool late, [Values] bool byHand)
    {
        var meddler = new Meddler { ThrowsWhenAsked = !late, ThrowsAtLast = late };
        var node = await StartNodeAsync(store, node => With(node, meddler, before) with { ByHand = byHand });

        var fired = await node.RunAsync<ReschedulingJob>(Scene);
        var error = await node.Told.NextErrorAsync();
        await LockIsFreeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error.TriggerKey, Is.EqualTo(fired.Key));
            Assert.That(Scene.Begun, Is.Zero);
        }
    }

    [Test]
    public async Task Keeps_the_lock_over_an_immediate_refire([Values] Store store, [Values] bool byHand)
    {
        var between = new TaskCompletionSource<JobLockHandle?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var meddler = new Meddler
        {
            WhenFired = async context =>
            {
                if (context.RefireCount == 1) between.SetResult(await OthersTryAsync());
            },
        };
        var node = await StartNodeAsync(store, node => With(node, meddler, before: true) with { ByHand = byHand });
        Scene.Act = static run => run.Context.RefireCount == 0 ? throw new JobExecutionException { RefireImmediately = true } : Task.CompletedTask;

        await node.RunAsync<ReschedulingJob>(Scene);
        var (first, second) = (await Scene.NextRunAsync(), await Scene.NextRunAsync());

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await between.Task.Soon(), Is.Null, "the lock between the attempts");
            Assert.That(second.Handle, Is.SameAs(first.Handle));
            Assert.That(second.Handle, byHand ? Is.Null : Is.Not.Null, "only middleware can hand it to the job");
        }

        await node.Told.NextEndAsync();
        await LockIsFreeAsync();
    }

    [Test]
    public async Task Frees_the_lock_when_another_listener_vetoes_the_refire([Values] bool byHand)
    {
        var meddler = new Meddler { VetoesRefires = true };
        var node = await StartNodeAsync(Store.Ram, node => With(node, meddler, before: true) with { ByHand = byHand });
        Scene.Act = static run => throw new JobExecutionException { RefireImmediately = true };

        await node.RunAsync<ReschedulingJob>(Scene);
        await node.Told.NextVetoAsync();
        await LockIsFreeAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1));
    }

    [Test]
    public async Task Takes_the_lock_again_when_other_middleware_runs_the_job_twice()
    {
        var node = await StartNodeAsync(Store.Ram, static node => node with { Before = static quartz => quartz.AddJobMiddleware(new Twice()) });
        Scene.Act = static run => run.UntilToldAsync();

        await node.RunAsync<ReschedulingJob>(Scene);
        var first = await Scene.NextRunAsync();
        first.Leave();
        var second = await Scene.NextRunAsync();
        var others = await OthersTryAsync();
        second.Leave();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(others, Is.Null, "the lock in the second attempt");
            Assert.That(second.Handle, Is.Not.Null.And.Not.SameAs(first.Handle));
        }
    }

    [Test]
    public async Task Fails_the_second_attempt_of_other_middleware_when_the_lock_was_taken_between()
    {
        JobLockHandle? others = null;
        var twice = new Twice { Between = async () => others = await OthersHoldAsync() };
        var node = await StartNodeAsync(Store.Ram, node => node with { Before = quartz => quartz.AddJobMiddleware(twice) });

        await node.RunAsync<ReschedulingJob>(Scene);
        var (_, thrown) = await node.Told.NextEndAsync();
        await others!.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(thrown?.InnerException, Is.TypeOf<JobLockConflictException>());
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Fails_the_second_attempt_of_a_run_that_would_have_to_wait_and_leaves_no_entry()
    {
        JobLockHandle? others = null;
        var twice = new Twice { Between = async () => others = await OthersHoldAsync() };
        var node = await StartNodeAsync(Store.Ram, node => node with { Before = quartz => quartz.AddJobMiddleware(twice) });

        await node.RunAsync<WaitingJob>(Scene);
        var (_, thrown) = await node.Told.NextEndAsync();
        await others!.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(thrown?.InnerException, Is.TypeOf<JobLockConflictException>());
            Assert.That(Scene.Begun, Is.EqualTo(1));
            Assert.That(await AskAsync("SELECT count(*) FROM joblocks.wait_queue"), Is.Zero);
        }
    }

    private static NodeSettings With(NodeSettings settings, Meddler meddler, bool before) => before
        ? settings with { Before = quartz => quartz.AddTriggerListener(meddler).AddJobListener(meddler) }
        : settings with { After = quartz => quartz.AddTriggerListener(meddler).AddJobListener(meddler) };

    private sealed class Meddler : ITriggerListener, IJobListener
    {
        public bool IsVeto { get; init; }

        public bool VetoesRefires { get; init; }

        public bool ThrowsWhenAsked { get; init; }

        public bool ThrowsAtLast { get; init; }

        public Func<IJobExecutionContext, Task> WhenFired { get; init; } = static _ => Task.CompletedTask;

        string ITriggerListener.Name => "meddler";

        string IJobListener.Name => "meddler";

        async ValueTask ITriggerListener.TriggerFired(ITrigger trigger, IJobExecutionContext context, CancellationToken cancellationToken) =>
            await WhenFired(context);

        ValueTask<bool> ITriggerListener.VetoJobExecution(ITrigger trigger, IJobExecutionContext context, CancellationToken cancellationToken) =>
            ThrowsWhenAsked ? throw new InvalidOperationException("This listener throws.") : new(IsVeto || (VetoesRefires && context.RefireCount > 0));

        ValueTask IJobListener.JobToBeExecuted(IJobExecutionContext context, CancellationToken cancellationToken) =>
            ThrowsAtLast ? throw new InvalidOperationException("This listener throws.") : default;
    }

    private sealed class Twice : IJobExecutionMiddleware
    {
        public Func<Task> Between { get; init; } = static () => Task.CompletedTask;

        public async ValueTask Invoke(IJobExecutionContext context, JobExecutionDelegate next, CancellationToken cancellationToken = default)
        {
            await next(context, cancellationToken);
            await Between();
            await next(context, cancellationToken);
        }
    }
}

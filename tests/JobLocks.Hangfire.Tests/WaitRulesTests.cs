using Hangfire;
using Hangfire.States;
using JobLocks.Gate;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>How long a run waits, and how many do.</summary>
[TestFixture]
public sealed class WaitRulesTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Options = static options => options.LongestWaitQueue = 3 };

    [Test, CancelAfter(60_000)]
    public async Task Fails_a_run_that_has_waited_for_as_long_as_it_may(CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var waiting = Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.RunSoon(stage.Id));
        var parked = await Servers.States.NextAsync<ScheduledState>(waiting, stop);
        var failed = await Servers.States.NextAsync<FailedState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(parked.EnqueueAt, Is.EqualTo(parked.ScheduledAt.AddSeconds(1) + Queueing.DelayAfterLongestWait).Within(TimeSpan.FromMilliseconds(100)));
            Assert.That(failed.Reason, Does.StartWith($"Failed: it waited for 1 s, as long as it may; {stage.LockName} is held by server-1 "));
            Assert.That(failed.Exception, Is.InstanceOf<JobLockConflictException>());
            Assert.That(stage.Runs, Is.Zero);
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Skips_a_further_run_where_one_that_waits_will_see_its_change_too(CancellationToken stop)
    {
        var stage = NewStage();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.RunOrJoin(stage.Id, 1)), stop);

        var further = Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.RunOrJoin(stage.Id, 2));
        var skipped = await Servers.States.NextAsync<DeletedState>(further, stop);
        stage.LetLeave();
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(skipped.Reason, Is.EqualTo($"Skipped: 1 run waits for {stage.LockName} already, and its rule keeps 1"));
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([1]));
            Assert.That(Servers.States.NamesOf(waiting), Is.EqualTo(["Enqueued", "Processing", "Scheduled", "Processing", "Succeeded"]));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Skips_the_oldest_that_waits_where_the_newest_is_kept(CancellationToken stop)
    {
        var stage = NewStage();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var replaced = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.RunOrReplace(stage.Id, 1)), stop);

        var newest = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.RunOrReplace(stage.Id, 2)), stop);
        var skipped = await Servers.States.NextAsync<DeletedState>(replaced, stop);
        var line = await Servers.Locks.LineAsync();
        stage.LetLeave();
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(newest, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(skipped.Reason, Is.EqualTo($"Skipped: a newer run has replaced it in the queue of {stage.LockName}"));
            Assert.That(line, Is.EqualTo([(stage.LockName, newest)]));
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([2]));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_one_of_many_that_come_at_once(CancellationToken stop)
    {
        var stage = NewStage();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var ids = Enumerable.Range(0, 12).Select(number => Servers.EnqueueFor<WaitingJob>(Servers[number % 2], job => job.RunOrJoin(stage.Id, number))).ToList();
        var skipped = 0;
        foreach (var id in ids)
            if (await Servers.States.NextAsync<IState>(id, stop, nth: 3) is DeletedState) skipped++;
        var line = await Servers.Locks.LineAsync();
        stage.LetLeave();
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(line[0].Run, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(skipped, Is.EqualTo(11));
            Assert.That(line, Has.Count.EqualTo(1));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Reschedules_a_run_that_the_longest_wait_queue_has_no_room_for(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = new List<string>();
        for (var number = 1; number <= 3; number++)
            waiting.Add(await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[number % 2], job => job.Pass(stage.Id, number)), stop));

        var further = Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Pass(stage.Id, 4));
        var later = await Servers.States.NextAsync<ScheduledState>(further, stop);
        var line = await Servers.Locks.LineAsync();
        await held!.DisposeAsync();
        foreach (var id in waiting) await Servers.States.NextAsync<SucceededState>(id, stop);
        Servers.Client.Requeue(further);
        await Servers.States.NextAsync<SucceededState>(further, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(later.Reason, Is.EqualTo($"Rescheduled: 3 runs wait for {stage.LockName} already, which is the limit; next try in 15 s"));
            Assert.That(line.Select(static place => place.Run), Is.EqualTo(waiting));
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([1, 2, 3, 4]));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }
}

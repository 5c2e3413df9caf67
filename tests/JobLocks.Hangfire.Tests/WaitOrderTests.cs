using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>Whose turn it is, and that nobody else comes.</summary>
[TestFixture]
public sealed class WaitOrderTests : RealServers
{
    // Who releases wakes: nothing here is found by a sweep.
    private protected override HangfireSetup Setup => new() { Options = static options => options.SweepInterval = TimeSpan.FromMinutes(1) };

    [Test, CancelAfter(60_000)]
    public async Task Wakes_readers_together_and_a_writer_before_the_readers_behind_it(CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Read(stage.Id, 1)), stop);
        await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Read(stage.Id, 2)), stop);
        var writer = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Write(stage.Id, 3)), stop);
        var last = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Read(stage.Id, 4)), stop);

        await held!.DisposeAsync();
        await stage.EnteredAsync(stop, nth: 2);
        var statesOfWriter = Servers.States.NamesOf(writer);
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(last, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(statesOfWriter, Is.EqualTo(["Enqueued", "Processing", "Scheduled"]));
            Assert.That(NumbersOf(stage).Take(2), Is.EquivalentTo([1, 2]));
            Assert.That(NumbersOf(stage).Skip(2), Is.EqualTo([3, 4]));
            Assert.That(stage.MostAtOnce, Is.EqualTo(2));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_a_writer_once_when_the_last_reader_has_left(CancellationToken stop)
    {
        var stage = NewStage();
        Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Read(stage.Id, 1));
        Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Read(stage.Id, 2));
        var (one, other) = (await stage.EnteredAsync(stop), await stage.EnteredAsync(stop, nth: 2));
        var writer = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Write(stage.Id, 3)), stop);

        one.LetLeave();
        await stage.LeftAsync(stop);
        // Comes into the line after the release and what it caused: by then the writer would have been woken.
        await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Write(stage.Id, 4)), stop);
        other.LetLeave();
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(writer, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Servers.States.NamesOf(writer), Is.EqualTo(["Enqueued", "Processing", "Scheduled", "Processing", "Succeeded"]));
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_one_for_each_that_leaves_where_two_may_run(CancellationToken stop)
    {
        var stage = NewStage();
        Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.RunOfTwo(stage.Id, 1));
        Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.RunOfTwo(stage.Id, 2));
        var (first, second) = (await stage.EnteredAsync(stop), await stage.EnteredAsync(stop, nth: 2));
        var waiting = new List<string>();
        for (var number = 3; number <= 5; number++)
            waiting.Add(await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[number % 2], job => job.RunOfTwo(stage.Id, number)), stop));

        first.LetLeave();
        var third = await stage.EnteredAsync(stop, nth: 3);
        second.LetLeave();
        await stage.EnteredAsync(stop, nth: 4);
        third.LetLeave();
        await stage.EnteredAsync(stop, nth: 5);
        stage.LetLeave();
        foreach (var id in waiting) await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(NumbersOf(stage).Skip(2), Is.EqualTo([3, 4, 5]));
            Assert.That(stage.MostAtOnce, Is.EqualTo(2));
            Assert.That(waiting.Select(id => Servers.States.Of(id).OfType<ScheduledState>().Count()), Has.All.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Moves_to_the_wait_queue_of_the_lock_that_it_still_lacks_and_wakes_the_next_run(CancellationToken stop)
    {
        var stage = NewStage();
        var sync = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var also = await Servers[1].Locks!.TryAcquireAsync($"also({stage.Id})", stop);
        var needsBoth = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.RunUnderBoth(stage.Id, 1)), stop);
        var first = (await Servers.Locks.LineAsync()).Single().Name;
        var (held, other) = string.Equals(first, stage.LockName, StringComparison.Ordinal) ? (sync, also) : (also, sync);
        // The one behind it needs only the lock that will be free.
        var behind = await Servers.ParkedAsync(
            held == sync
                ? Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Write(stage.Id, 2))
                : Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.WriteAlso(stage.Id, 2)),
            stop);

        await held!.DisposeAsync();
        (await stage.EnteredAsync(stop)).LetLeave();
        await Servers.States.NextAsync<SucceededState>(behind, stop);
        var runsMeanwhile = NumbersOf(stage);
        await other!.DisposeAsync();
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(needsBoth, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runsMeanwhile, Is.EqualTo([2]));
            Assert.That(Servers.States.Of(needsBoth).OfType<ScheduledState>().Last().Reason, Does.StartWith($"Waiting for {(held == sync ? "also" : "sync")}({stage.Id})"));
            Assert.That(NumbersOf(stage), Is.EqualTo([2, 1]));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_each_run_once_where_several_processes_are_notified(CancellationToken stop)
    {
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var name = $"elsewhere({Guid.NewGuid()})";
        var elsewhere = await other.TryAcquireAsync(name, stop);
        // Both listen, since both wait by hand.
        var byHand = new[] { Servers[0], Servers[1] }.Select(server => server.Locks!.AcquireAsync(name, LockMode.Shared, Patience.Limit, stop)).ToList();
        var stages = Enumerable.Range(0, 4).Select(_ => NewStage()).ToList();
        var held = new List<JobLockHandle?>();
        foreach (var stage in stages) held.Add(await other.TryAcquireAsync(stage.LockName, stop));
        var waiting = new List<string>();
        foreach (var stage in stages) waiting.Add(await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop));

        foreach (var handle in held) await handle!.DisposeAsync();
        foreach (var stage in stages) await stage.EnteredAsync(stop);
        // A second wake-up would be taken by a worker while these run, and before this one.
        var after = Servers.Enqueue<SyncJob>(job => job.RunUnlocked(stages[0].Id));
        await stages[0].EnteredAsync(stop, nth: 2);
        foreach (var stage in stages) stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(after, stop);
        foreach (var id in waiting) await Servers.States.NextAsync<SucceededState>(id, stop);
        await elsewhere!.DisposeAsync();
        foreach (var handle in byHand) await (await handle).DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            foreach (var id in waiting) Assert.That(Servers.States.NamesOf(id), Is.EqualTo(["Enqueued", "Processing", "Scheduled", "Processing", "Succeeded"]));
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    private static IEnumerable<int> NumbersOf(Stage stage) => [.. stage.Entries.Entries.Select(static entry => entry.Number)];
}

using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.Faults;

/// <summary>
/// The clock of the server is moved by an hour. A test cannot move it, so it moves the stored times: after the clock is set back they are an hour in the future, after it is set
/// forward an hour in the past.
/// </summary>
[TestFixture, CancelAfter(90_000)]
public sealed class ServerClockTests : WaitQueueFixture
{
    [TestCase("1 hour"), TestCase("-1 hour")]
    public async Task Starts_a_woken_run_whose_store_was_not_told(string moved, CancellationToken stop)
    {
        var locks = Open();
        var held = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);

        // As a process leaves it that is killed after it woke the run.
        await MoveAsync("wait_queue SET woken = now() + $2::interval, since = since + $2::interval", moved);
        await held!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
    }

    [TestCase("1 hour"), TestCase("-1 hour")]
    public async Task Starts_the_next_run_where_a_woken_one_was_deleted(string moved, CancellationToken stop)
    {
        var locks = Open();
        var held = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await ParkAsync(locks, 2, stop);

        await MoveAsync("wait_queue SET woken = CASE run WHEN '1' THEN now() + $2::interval END, claimed = run = '1', since = since + $2::interval", moved);
        Runs.State = static run => run.Address.Run is "1" ? ParkedRunState.Gone : ParkedRunState.Parked;
        await held!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("2"));
    }

    [TestCase("1 hour"), TestCase("-1 hour")]
    public async Task Gives_up_the_position_of_a_deleted_run(string moved, CancellationToken stop)
    {
        var locks = Open();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);

        await MoveAsync("wait_queue SET since = since + $2::interval", moved);
        Runs.State = static _ => ParkedRunState.Gone;

        while (await LengthAsync() > 0) await Task.Delay(50, stop);
    }

    [TestCase("1 hour"), TestCase("-1 hour")]
    public async Task Ends_the_wait_of_a_run_that_may_wait_for_two_seconds(string moved, CancellationToken stop)
    {
        var locks = Open();
        ILockBackend keeper = locks;
        await using var held = await locks.TryAcquireAsync(Name, stop);
        var standing = await keeper.WaitQueue.EnqueueAsync(AddressOf(1), new LockRequest(Name, Key), new(TimeSpan.FromSeconds(2), 0, false), blocks: false, stop);
        await keeper.WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);

        await MoveAsync("wait_queue SET since = since + $2::interval, until = until + $2::interval", moved);

        // It is started to learn that its time is over.
        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        Assert.That((await keeper.WaitQueue.FindAsync(AddressOf(1), blocks: false, stop))?.IsOverdue, Is.True);
    }

    [TestCase("1 hour"), TestCase("-1 hour")]
    public async Task Wakes_the_runs_of_a_name_in_their_order(string moved, CancellationToken stop)
    {
        var locks = Open();
        var held = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await MoveAsync("wait_queue SET since = since + $2::interval", moved);
        await ParkAsync(locks, 2, stop);
        await held!.DisposeAsync();

        var order = new List<string>();
        for (var i = 0; i < 2; i++)
        {
            var woken = await Runs.NextAsync(stop);
            order.Add(woken.Address.Run);
            (await EnterAsync(locks, woken, stop)).Dispose();
        }

        Assert.That(order, Is.EqualTo(["1", "2"]));
    }

    [TestCase("1 hour"), TestCase("-1 hour")]
    public async Task Asks_the_holder_of_a_lock_to_release_it_and_says_when_it_did(string moved, CancellationToken stop)
    {
        var locks = Open();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        await WrittenDownAsync(stop);
        await MoveAsync("holders SET since = since + $2::interval", moved);
        await using var releases = held!.Lost.Register(held.Dispose);

        var answer = await locks.Inspector.RequestReleaseAsync(Key, "ops", TimeSpan.FromSeconds(20), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer, Is.EqualTo(ReleaseAnswer.Released));
            Assert.That(held.IsLost, Is.True, "it was asked");
        }
    }

    [TestCase("1 hour"), TestCase("-1 hour")]
    public async Task Shows_holders_and_waiting_runs_and_counts_on(string moved, CancellationToken stop)
    {
        var locks = Open();
        await (await locks.TryAcquireAsync(Name, stop))!.DisposeAsync();
        while (await CountedAsync() is not 1L) await Task.Delay(50, stop);
        await using var held = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await WrittenDownAsync(stop);

        foreach (var column in new[] { "holders SET since = since", "wait_queue SET since = since", "names SET seen = seen" }) await MoveAsync($"{column} + $2::interval", moved);
        await LockTable.AskAsync(Database, "UPDATE joblocks.minutes SET minute = minute + $2::interval WHERE key = $1", Key.Value, moved);
        var snapshot = await locks.Inspector.GetSnapshotAsync(stop: stop);
        await held!.DisposeAsync();
        (await EnterAsync(locks, await Runs.NextAsync(stop), stop)).Dispose();

        while (await CountedAsync() is not 3L) await Task.Delay(50, stop);
        var shown = await locks.Inspector.GetNameAsync(Key, stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(snapshot.Held.Items.Select(static one => one.Name), Does.Contain(Name));
            Assert.That(snapshot.Waiting.Items.Select(static one => one.Name), Does.Contain(Name));
            Assert.That(shown.Runs, Is.EqualTo(3));
            Assert.That(shown.LastHour.Sum(static minute => minute.Runs), Is.Positive);
        }
    }

    private Task<object?> MoveAsync(string change, string moved) => LockTable.AskAsync(Database, $"UPDATE joblocks.{change} WHERE name = $1", Name, moved);

    private Task<object?> CountedAsync() => LockTable.AskAsync(Database, "SELECT runs FROM joblocks.names WHERE name = $1", Name);

    private async Task WrittenDownAsync(CancellationToken stop)
    {
        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.holders WHERE name = $1", Name) is 0L) await Task.Delay(50, stop);
    }
}

using JobLocks.Locks;

namespace JobLocks.Tests.Contract;

/// <summary>What inspection shows of the locks of its own process.</summary>
[CancelAfter(60_000)]
public abstract class InspectionContract : ContractFixture
{
    private protected InspectionContract(ContractBackend backend)
        : base(backend)
    {
    }

    private IJobLockInspector Inspector => Keeper.Inspection;

    [Test]
    public async Task Shows_the_holder_of_a_lock(CancellationToken stop)
    {
        Configure(static options => options.ApplicationName = "billing@web-3:812");
        var before = DateTimeOffset.UtcNow;
        var result = await Keeper.TryAcquireAllAsync([Request], new() { Run = "Hangfire job 1187" }, entry: null, blocks: false, stop);

        var held = (await Inspector.GetHeldAsync(stop: stop)).Items.Single();
        await result.Handles[0].DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That((held.Key, held.NameKey, held.Name, held.Mode), Is.EqualTo((Key, Key, Name, LockMode.Exclusive)));
            Assert.That(held.Holder.ToString(), Is.EqualTo("Hangfire job 1187 of billing on web-3 (pid 812)"));
            Assert.That(held.Holder.Since, Is.InRange(before, DateTimeOffset.UtcNow));
            Assert.That(held.Holder.IsForeign, Is.False);
        }
    }

    [Test]
    public async Task Shows_slots_under_the_name_of_their_limit(CancellationToken stop)
    {
        var request = new LockRequest(Name, Key, limit: 2);
        var handles = new List<JobLockHandle>();
        for (var i = 0; i < 2; i++) handles.AddRange((await Keeper.TryAcquireAllAsync([request], new() { Run = "holder" }, null, blocks: false, stop)).Handles);

        var held = (await Inspector.GetHeldAsync(stop: stop)).Items;
        foreach (var handle in handles) await handle.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held.Select(static item => item.Key), Is.EquivalentTo(request.Slots));
            Assert.That(held.Select(static item => item.NameKey).Distinct(), Is.EqualTo([Key]));
        }
    }

    [Test]
    public async Task Shows_the_waiting_runs_in_the_order_of_the_queue(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        for (var i = 0; i < 3; i++) await ParkAsync(i, stop);

        var all = await Inspector.GetWaitingAsync(Key, stop: stop);
        var second = await Inspector.GetWaitingAsync(Key, skip: 1, take: 1, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(all.Items.Select(static run => (run.Run, run.Position, run.IsServed)), Is.EqualTo([("0", 1L, true), ("1", 2L, true), ("2", 3L, true)]));
            Assert.That(all.Items.Select(static run => (run.Name, run.Scheduler, run.WokenAt)).Distinct(), Is.EqualTo([(Name, "Test", (DateTimeOffset?)null)]));
            Assert.That(second.Items.Single().Run, Is.EqualTo("1"));
            Assert.That(second.Total, Is.EqualTo(3));
        }
    }

    [Test]
    public async Task Shows_the_names_for_which_runs_wait_the_longest_queue_first(CancellationToken stop)
    {
        var other = $"{Name} other";
        await using var held = await HoldAsync(stop);
        await using var heldOther = await Locks.TryAcquireAsync(other, stop);
        await ParkAsync(0, new(other, LockKey.Of(other)), stop);
        for (var i = 1; i < 3; i++) await ParkAsync(i, stop);

        var snapshot = await Inspector.GetSnapshotAsync(stop: stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(snapshot.Waiting.Items.Select(static name => (name.Name, name.Length, name.Unserved)), Is.EqualTo([(Name, 2L, 0L), (other, 1L, 0L)]));
            Assert.That(snapshot.Waiting.Items[0].Holder, Is.Not.Null);
            Assert.That(snapshot.Overview.LongestQueues.Select(static name => name.Name), Is.EqualTo([Name, other]));
            Assert.That((snapshot.Overview.Held, snapshot.Overview.Waiting, snapshot.Overview.HasNames), Is.EqualTo((2L, 3L, true)));
            Assert.That(snapshot.Overview.Processes.Select(static process => process.Locks), Does.Contain(2L));
            Assert.That(snapshot.Held.Total, Is.EqualTo(2));
            Assert.That(snapshot.Overview.InternalLockHolders, Is.Empty);
        }
    }

    [Test]
    public async Task Explains_why_a_run_waits(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        for (var i = 0; i < 2; i++) await ParkAsync(i, stop);

        var explanation = await Keeper.Inspection.ExplainAsync("1", Runs.Id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(explanation, Does.StartWith($"waiting for {Name}, held by code that acquired it by hand of ").And.Contain(", position 2 of 2"));
            Assert.That(await Keeper.Inspection.ExplainAsync("1", "another store", stop), Is.Null);
            Assert.That(await Inspector.ExplainAsync("none", stop), Is.Null);
        }
    }

    [Test]
    public async Task Explains_which_lock_a_run_holds(CancellationToken stop)
    {
        var result = await Keeper.TryAcquireAllAsync([Request], new() { Run = "Hangfire job 1187" }, entry: null, blocks: false, stop);

        var explanation = await WhenKnownAsync(() => Inspector.ExplainAsync("1187", stop), static text => text is not null, stop);
        await result.Handles[0].DisposeAsync();

        Assert.That(explanation, Does.StartWith($"holds {Name} since "));
    }

    [Test]
    public async Task Shows_all_data_about_one_name(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);

        var name = await Inspector.GetNameAsync(Key, 0, 100, run: "0", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((name.Key, name.Name), Is.EqualTo((Key, Name)));
            Assert.That(name.Held.Single().Key, Is.EqualTo(Key));
            Assert.That(name.Waiting.Items.Single().Run, Is.EqualTo("0"));
            Assert.That(name.Explanation, Does.StartWith($"waiting for {Name}, "));
            Assert.That(name.Includes(Key), Is.True);
        }
    }

    [Test]
    public async Task Counts_the_runs_of_a_name(CancellationToken stop)
    {
        await (await HoldAsync(stop)).DisposeAsync();

        var name = await WhenKnownAsync(() => Inspector.GetNameAsync(Key, stop), static name => name.Runs > 0, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(name.Runs, Is.EqualTo(1));
            Assert.That(name.UsualHold, Is.Not.Null);
            Assert.That(name.LastHour.Sum(static minute => minute.Runs), Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Finds_a_name_by_its_part_and_its_key_and_by_a_waiting_run(CancellationToken stop)
    {
        await (await HoldAsync(stop)).DisposeAsync();
        var byName = await WhenKnownAsync(() => Inspector.FindAsync(Name[5..20].ToUpperInvariant(), stop), static found => found.Count > 0, stop);
        await using var held = await HoldAsync(stop);
        // No name contains that number.
        await ParkAsync(700_000_077, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(byName, Is.EqualTo([new LockMatch(Key, Name, "name")]));
            Assert.That(await Inspector.FindAsync($"{Key}", stop), Is.EqualTo([new LockMatch(Key, Name, "key")]));
            Assert.That(await Inspector.FindAsync("700000077", stop), Is.EqualTo([new LockMatch(Key, Name, "Test run 700000077")]));
            Assert.That(await Inspector.FindAsync(" ", stop), Is.Empty);
        }
    }

    [Test]
    public async Task Cancels_the_token_of_a_set_when_the_release_of_any_of_its_locks_is_requested([Values] bool ofTheFirst, CancellationToken stop)
    {
        var other = $"also {Name}";
        await using var set = (await Locks.TryAcquireAllAsync([Name, other], stop))!;
        var areLost = set.Select(static handle => handle.Lost).Append(set.Lost).Select(WhenCancelledAsync).ToList();

        var requesting = Inspector.RequestReleaseAsync(ofTheFirst ? Key : LockKey.Of(other), "Ada", Patience, stop);
        await Task.WhenAll(areLost).WaitAsync(Patience, stop);
        var reasons = set.Select(static handle => handle.LostReason).ToArray();
        await set.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await requesting, Is.EqualTo(ReleaseAnswer.Released));
            Assert.That(reasons, Has.All.Contains("Ada"));
            Assert.That(reasons, Has.One.Contains(ofTheFirst ? $"{Name}, which was acquired together with it" : $"{other}, which was acquired together with it"));
        }

        static Task WhenCancelledAsync(CancellationToken token)
        {
            var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            token.Register(cancelled.SetResult);
            return cancelled.Task;
        }
    }

    [Test]
    public async Task Requests_the_release_of_a_lock_from_its_holder(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var lost = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        held.Lost.Register(lost.SetResult);

        var requesting = Inspector.RequestReleaseAsync(Key, "Ada", Patience, stop);
        await lost.Task.WaitAsync(Patience, stop);
        var reason = held.LostReason;
        var isFree = await Locks.TryAcquireAsync(Name, stop) is not null;
        await held.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await requesting, Is.EqualTo(ReleaseAnswer.Released));
            Assert.That(reason, Does.StartWith($"The lock {Name} is given up, since Ada ").And.EndsWith("asked for it."));
            Assert.That(isFree, Is.False, "the run has not ended yet");
        }
    }

    [Test]
    public async Task Requests_the_release_of_a_lock_of_one_name_only(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);

        var answer = await Keeper.Inspection.RequestReleaseAsync(LockKey.Of("another name"), Key, "Ada", TimeSpan.FromSeconds(1), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer, Is.EqualTo(ReleaseAnswer.StillHeld));
            Assert.That(held.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test]
    public async Task Answers_a_request_for_the_release_of_a_free_lock(CancellationToken stop) =>
        Assert.That(await Inspector.RequestReleaseAsync(Key, "Ada", Patience, stop), Is.EqualTo(ReleaseAnswer.WasFree));

    [Test]
    public void Rejects_pages_and_users_that_mean_nothing()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(async () => await Inspector.GetHeldAsync(skip: -1), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(async () => await Inspector.GetSnapshotAsync(take: 101), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(async () => await Inspector.RequestReleaseAsync(Key, " "), Throws.ArgumentException);
            Assert.That(async () => await Inspector.EndSessionAsync(1, ""), Throws.ArgumentException);
            Assert.That(async () => await Inspector.ExplainAsync(""), Throws.ArgumentException);
        }
    }

    [Test]
    public async Task Ends_no_session_that_holds_no_lock(CancellationToken stop) =>
        Assert.That(await Inspector.EndSessionAsync(-1, "Ada", stop), Is.False);

    [Test]
    public async Task Shares_the_readings_of_its_pages(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        var pages = Keeper.Inspection.Pages;
        pages.Clear();

        var overview = await pages.ReadOverviewAsync(stop);
        var name = await pages.ReadNameAsync(Key, 0, run: null, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(overview.Held.Items.Select(static item => item.Key), Is.EqualTo([Key]));
            Assert.That(name.Held.Single().Key, Is.EqualTo(Key));
        }
    }

    /// <summary>Reads until something is known: over PostgreSQL, a lock that is held only for a moment is never written down.</summary>
    private static async Task<T> WhenKnownAsync<T>(Func<Task<T>> read, Func<T, bool> isKnown, CancellationToken stop)
    {
        while (true)
        {
            var answer = await read();
            if (isKnown(answer)) return answer;

            await Task.Delay(TimeSpan.FromMilliseconds(50), stop);
        }
    }
}

/// <summary>The contract over PostgreSQL.</summary>
[TestFixture]
public sealed class PostgresInspectionTests() : InspectionContract(new PostgresBackend());

/// <summary>The contract in memory.</summary>
[TestFixture]
public sealed class InMemoryInspectionTests() : InspectionContract(new InMemoryBackend());

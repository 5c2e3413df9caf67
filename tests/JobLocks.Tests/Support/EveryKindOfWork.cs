using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Rules;

namespace JobLocks.Tests.Support;

/// <summary>All that our connections are used for, once: locks of each kind, runs that wait and are woken, the sweep, the statistics, and what pages show.</summary>
internal static class EveryKindOfWork
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <param name="database">As whom, and where.</param>
    /// <param name="stop">Gives up.</param>
    public static async Task DoAsync(string database, CancellationToken stop)
    {
        var store = new RunsOfTest();
        await using var locks = AdvisoryLocks.Connect(database, static options => options.SweepInterval = TimeSpan.FromMilliseconds(200));
        await using var others = AdvisoryLocks.Connect(database, static options => options.ApplicationName = "others");
        ((ILockBackend)locks).WaitQueue.AddStore(store);

        await UseHandlesAsync(locks, others, stop);
        await UseLineAsync(locks, store, stop);
        await GetStatesAsync(locks, others, stop);
    }

    private static async Task UseHandlesAsync(AdvisoryLocks locks, AdvisoryLocks others, CancellationToken stop)
    {
        var gate = JobGate.To(locks);
        var limited = (Admission.Admitted)await gate.TryEnterAsync(
            Calls.Call("limited") with { Rules = [LockRule.For(new("limited", OnConflict.Skip, 15) { Limit = 3 }, JobSignature.Of(typeof(ClientSync)))] }, stop);
        limited.Dispose();

        foreach (var mode in new[] { LockMode.Exclusive, LockMode.Shared })
        {
            // A name for each: a release is not waited for.
            var name = $"waited for {mode}";
            var held = (await locks.TryAcquireAsync(name, mode, stop))!;
            Assert.That(await others.TryAcquireAsync(name, stop), Is.Null);
            // The holder releases when the other one has said that it waits, and so it is told over the channel.
            var waits = others.AcquireAsync(name, Patience, stop);
            await others.EnsureSessionAsync(stop);
            await held.DisposeAsync();
            await using var next = await waits;
            Assert.That(next.FencingToken, Is.Positive);
        }
    }

    private static async Task UseLineAsync(AdvisoryLocks process, RunsOfTest store, CancellationToken stop)
    {
        ILockBackend locks = process;
        var gate = JobGate.To(process);
        var first = (Admission.Admitted)await gate.TryEnterAsync(Calls.Call("line"), stop);
        for (var run = 1; run <= 2; run++)
        {
            var standing = await locks.WaitQueue.EnqueueAsync(new(store.Id, $"{run}", ""), new LockRequest("line", LockKey.Of("line")), default, blocks: false, stop);
            await locks.WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
        }

        first.Dispose();
        for (var run = 1; run <= 2; run++)
        {
            var woken = await store.NextAsync(stop);
            var place = await locks.WaitQueue.FindAsync(woken.Address, blocks: false, stop);
            var taken = await locks.TryAcquireAllAsync([new("line", woken.Key)], new() { Run = woken.Address.Run }, place, blocks: false, stop);
            await locks.WaitQueue.DequeueAsync(place!, blocks: false, stop);
            foreach (var handle in taken.Handles) await handle.DisposeAsync();
        }
    }

    private static async Task GetStatesAsync(AdvisoryLocks locks, AdvisoryLocks others, CancellationToken stop)
    {
        var held = (await others.TryAcquireAsync("looked at", stop))!;
        await using var ends = held.Lost.Register(held.Dispose);
        var look = locks.Inspector;
        while ((await look.GetHeldAsync(stop: stop)).Items.All(static one => one.Holder.Run is null)) stop.ThrowIfCancellationRequested();

        Assert.That((await look.GetSnapshotAsync(stop: stop)).Overview.Held, Is.Positive);
        await look.GetOverviewAsync(stop);
        await look.GetWaitingAsync(stop: stop);
        await look.GetWaitingAsync(held.Key, stop: stop);
        await look.GetNameAsync(held.Key, 0, 10, "code that acquired it by hand", stop);
        await look.FindAsync("looked", stop);
        await look.ExplainAsync("1", stop);
        Assert.That(await look.RequestReleaseAsync(held.Key, "ops", TimeSpan.FromSeconds(20), stop), Is.EqualTo(ReleaseAnswer.Released));

        var foreign = (await others.TryAcquireAsync("ended", stop))!;
        var backend = (await look.GetNameAsync(foreign.Key, stop)).Held[0].Holder.Backend;
        Assert.That(await look.EndSessionAsync(backend, "ops", stop), Is.True);
    }
}

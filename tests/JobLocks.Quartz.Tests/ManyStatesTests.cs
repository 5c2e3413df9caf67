using JobLocks.Quartz.Tests.Support;
using JobLocks.Quartz.Waiting;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging.Abstractions;
using Quartz;
using Quartz.Extensibility;
using Quartz.Impl;

namespace JobLocks.Quartz.Tests;

/// <summary>A job store is asked once for the states of many runs.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class ManyStatesTests : QuartzFixture
{
    [Test]
    public async Task Asks_once_for_all_runs_and_alone_for_one_that_is_not_among_them([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        await using var others = await OthersHoldAsync();
        IReadOnlyList<ITrigger> parked = [await ParkAsync(node, 1), await ParkAsync(node, 2)];
        var asked = new AskedStore(node.JobStore);

        var states = await RunsOf(asked).GetStatesAsync([RunOf(parked[0].Key), RunOf(new("missing")), RunOf(parked[1].Key)], CancellationToken.None);

        foreach (var trigger in parked) await node.Scheduler.UnscheduleJob(trigger.Key);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(states, Is.EqualTo([ParkedRunState.Parked, ParkedRunState.Gone, ParkedRunState.Parked]));
            Assert.That((asked.AboutMany, asked.AboutOne), Is.EqualTo((1, 1)));
        }
    }

    [Test]
    public async Task Takes_no_run_for_gone_whose_trigger_the_store_cannot_read()
    {
        var node = await StartNodeAsync(Store.Ado);
        await using var others = await OthersHoldAsync();
        IReadOnlyList<ITrigger> parked = [await ParkAsync(node, 1), await ParkAsync(node, 2)];
        var asked = new AskedStore(node.JobStore) { Unreadable = parked[0].Key };

        await Assert.ThatAsync(
            async () => await RunsOf(asked).GetStatesAsync([.. parked.Select(static trigger => RunOf(trigger.Key))], CancellationToken.None), Throws.InstanceOf<JobPersistenceException>());

        foreach (var trigger in parked) await node.Scheduler.UnscheduleJob(trigger.Key);
    }

    private async Task<ITrigger> ParkAsync(Node node, int count)
    {
        await node.RunAsync<WaitingJob>(Scene);
        var parked = await node.Told.NextPutBackAsync();
        await ParkedAsync(count);
        return parked;
    }

    private static WaitingRun RunOf(TriggerKey key) => new(1, default, "", new("", HeldTrigger.NameOf(key), ""), IsParked: true, IsDeliveryClaimed: true, DateTimeOffset.UtcNow);

    private static QuartzRuns RunsOf(IJobStore store)
    {
        var triggers = new JobStoreTriggers(store);
        return new(triggers, new StoreIdInJob(triggers), TimeProvider.System, TimeSpan.FromMinutes(1), NullLogger.Instance);
    }

    /// <summary>Counts the questions, and cannot read one trigger: as Quartz's own store, it leaves it out where it is one of many, and fails where it is alone.</summary>
    private sealed class AskedStore(IJobStore store) : DelegatingJobStore(store)
    {
        public TriggerKey? Unreadable { get; init; }

        public int AboutMany { get; private set; }

        public int AboutOne { get; private set; }

        public override async ValueTask<List<IOperableTrigger>> GetTriggers(IReadOnlyCollection<TriggerKey> triggerKeys, CancellationToken cancellationToken = default)
        {
            AboutMany++;
            return (await base.GetTriggers(triggerKeys, cancellationToken)).FindAll(trigger => !trigger.Key.Equals(Unreadable));
        }

        public override ValueTask<IOperableTrigger?> GetTrigger(TriggerKey triggerKey, CancellationToken cancellationToken = default)
        {
            AboutOne++;
            return triggerKey.Equals(Unreadable) ? throw new JobPersistenceException("It cannot be read.") : base.GetTrigger(triggerKey, cancellationToken);
        }
    }
}

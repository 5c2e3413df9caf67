using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

[TestFixture]
public sealed class LockNameTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Lets_runs_with_other_names_through_at_the_same_time(CancellationToken stop)
    {
        var (one, other) = (NewStage(), NewStage());

        Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrSkip(one.Id));
        Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrSkip(other.Id));
        await one.EnteredAsync(stop);
        await other.EnteredAsync(stop);

        Assert.That(await Servers.Locks.HeldAsync(), Is.EquivalentTo([one.Key, other.Key]));
    }

    [Test, CancelAfter(60_000)]
    public async Task Refuses_another_method_that_has_the_same_name(CancellationToken stop)
    {
        var stage = NewStage();
        Servers.EnqueueFor<SyncJob>(Servers[0], job => job.Run(stage.Id));
        await stage.EnteredAsync(stop);

        var refused = Servers.EnqueueFor<SyncJob>(Servers[1], job => job.RunOrSkip(stage.Id));
        await Servers.States.NextAsync<DeletedState>(refused, stop);

        Assert.That(stage.Runs, Is.EqualTo(1));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_made_of_type_method_and_arguments_where_none_was_written(CancellationToken stop)
    {
        var stage = NewStage();

        Servers.EnqueueFor<NamelessJob>(Servers[0], job => job.Run(stage.Id, 4, CancellationToken.None));
        var entry = await stage.EnteredAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(entry.Handle!.Name, Is.EqualTo($"JobLocks.Hangfire.Tests.LockNameTests+NamelessJob.Run({stage.Id},4)"));
            Assert.That(await Servers.Locks.HeldAsync(), Is.EqualTo([LockKey.Of(entry.Handle.Name!)]));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Differs_by_arguments_where_none_was_written(CancellationToken stop)
    {
        var stage = NewStage();
        Servers.EnqueueFor<NamelessJob>(Servers[0], job => job.Run(stage.Id, 4, CancellationToken.None));
        await stage.EnteredAsync(stop);

        var same = Servers.EnqueueFor<NamelessJob>(Servers[1], job => job.Run(stage.Id, 4, CancellationToken.None));
        Servers.EnqueueFor<NamelessJob>(Servers[1], job => job.Run(stage.Id, 5, CancellationToken.None));
        await Servers.States.NextAsync<DeletedState>(same, stop);
        await stage.EnteredAsync(stop, nth: 2);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Runs, Is.EqualTo(2));
            Assert.That(stage.MostAtOnce, Is.EqualTo(2));
        }
    }

    public class NamelessJob
    {
        [JobLock(OnConflict = OnConflict.Skip)]
        public Task Run(string stage, int clientId, CancellationToken stop) => Stage.Of(stage).PlayAsync(stop);
    }
}

using System.Transactions;
using Hangfire.Common;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A filter of somebody else runs each job in a transaction of its own, and rolls it back where the job did not run.</summary>
[TestFixture]
public sealed class AmbientTransactionTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Filters = new InTransaction() };

    [Test, Pairwise, CancelAfter(60_000)]
    public async Task Runs_all_of_three_that_have_to_come_later(
        [Values(nameof(TransactedJob.Wait), nameof(TransactedJob.Reschedule))] string method,
        [Values(-5, -1, 5)] int order,
        [Values(TransactionScopeOption.Required, TransactionScopeOption.RequiresNew)] TransactionScopeOption option,
        [Values] TransactionScopeAsyncFlowOption flow,
        [Values] bool completesCanceled,
        CancellationToken stop)
    {
        var stage = NewStage();
        var first = Enqueue(method, stage, new(order, option, flow, completesCanceled));
        await stage.EnteredAsync(stop);
        string[] others = [Enqueue(method, stage, new(order, option, flow, completesCanceled)), Enqueue(method, stage, new(order, option, flow, completesCanceled))];
        foreach (var id in others) await Servers.StoredAsync(id, ScheduledState.StateName, stop);

        stage.LetLeave();
        foreach (var id in others.Prepend(first)) await Servers.StoredAsync(id, SucceededState.StateName, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Runs, Is.EqualTo(3));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            foreach (var id in others) Assert.That(await QueueRowsAtLastAsync(id, stop), Is.Zero);
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
            Assert.That(others.SelectMany(Servers.States.NamesOf), Has.None.EqualTo(DeletedState.StateName).And.None.EqualTo(FailedState.StateName));
        }
    }

    [TestCase(nameof(TransactedJob.Skip), "Deleted")]
    [TestCase(nameof(TransactedJob.Fail), "Failed")]
    [CancelAfter(60_000)]
    public async Task Ends_a_refused_run_for_good(string method, string state, CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var id = Enqueue(method, stage, new(-1, TransactionScopeOption.Required, TransactionScopeAsyncFlowOption.Enabled, CompletesCanceled: false));
        var end = await Servers.StoredAsync(id, state, stop);

        Assert.That(end.History[0].StateName, Is.EqualTo(state));
        Assert.That(await QueueRowsAtLastAsync(id, stop), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Remembers_the_queue_of_a_run_that_is_rescheduled(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var id = Enqueue(nameof(TransactedJob.Reschedule), stage, new(-1, TransactionScopeOption.Required, TransactionScopeAsyncFlowOption.Suppress, CompletesCanceled: false), "critical");
        await Servers.StoredAsync(id, ScheduledState.StateName, stop);
        await held!.DisposeAsync();
        var again = await Servers.States.NextAsync<EnqueuedState>(id, stop, nth: 2);
        await Servers.StoredAsync(id, SucceededState.StateName, stop);

        Assert.That(again.Queue, Is.EqualTo("critical"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_the_name_of_the_storage_that_it_wrote_down_meanwhile([Values] TransactionScopeAsyncFlowOption flow, CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync($"{nameof(AmbientTransactionTests)}_{flow}", stop);
        await using var first = new HangfireProcess("server-0", database, new() { UsesJobLocks = false }, new AnnouncedStates());
        await using var second = new HangfireProcess("server-1", database, new() { UsesJobLocks = false }, new AnnouncedStates());

        string name;
        using (new TransactionScope(TransactionScopeOption.Required, flow)) name = HangfireRuns.Of(first.Storage).Identify();

        Assert.That(HangfireRuns.Of(second.Storage).Identify(), Is.EqualTo(name));
    }

    [Test]
    public void Leaves_a_transaction_that_was_completed_and_is_still_there([Values] TransactionScopeAsyncFlowOption flow)
    {
        using var scope = new TransactionScope(TransactionScopeOption.Required, flow);
        scope.Complete();

        using (AmbientTransaction.Suppress()) Assert.That(Transaction.Current, Is.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Takes_locks_by_hand_outside_of_the_transaction_around(CancellationToken stop)
    {
        var stage = NewStage();
        var locks = Servers[0].Locks!;

        JobLockHandle first, second;
        using (var scope = new TransactionScope(TransactionScopeOption.Required, TransactionScopeAsyncFlowOption.Enabled))
        {
            first = (await locks.TryAcquireAsync(stage.LockName, stop))!;
            second = await locks.AcquireAsync($"also({stage.Id})", Patience.Limit, stop);
            Assert.That(await locks.TryAcquireAsync(stage.LockName, stop), Is.Null);
            await ((AdvisoryLocks)locks).Inspector.GetHeldAsync(stop: stop);
            Assert.That(Transaction.Current!.TransactionInformation.DistributedIdentifier, Is.EqualTo(Guid.Empty));
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Servers.Locks.HeldAsync(), Is.EquivalentTo([first.Key, second.Key]));
            Assert.That(
                await Servers.Locks.AskAsync("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'server-0' AND state LIKE 'idle in%'"),
                Is.EqualTo(0));
        }

        await first.DisposeAsync();
        await second.DisposeAsync();
    }

    private async Task<long> QueueRowsAtLastAsync(string id, CancellationToken stop) => await Patience.UntilAsync(
        async () => (long)(await Servers.Locks.AskAsync("SELECT count(*) FROM hangfire.jobqueue WHERE jobid = $1", long.Parse(id, System.Globalization.CultureInfo.InvariantCulture)))!,
        static rows => rows == 0,
        stop);

    private string Enqueue(string method, Stage stage, InTransaction.Specification transaction, string queue = "default") =>
        Servers.Client.Create(new Job(typeof(TransactedJob), typeof(TransactedJob).GetMethod(method), (object[])[stage.Id, transaction.ToString()]), new EnqueuedState(queue));
}

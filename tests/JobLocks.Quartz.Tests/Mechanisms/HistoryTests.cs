using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Execution history, run status, statistics, metadata: what Quartz writes down about a run.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class HistoryTests : MechanismFixture
{
    [Test]
    public async Task Has_no_entry_while_the_run_is_put_off_and_one_when_it_has_ended([Values] Store store, [Values] PutOff how, [Values] bool inTheStore)
    {
        if (store == Store.Ram && inTheStore) Assert.Ignore("The RAM store keeps no history of its own.");

        var node = await StartWatchedAsync(store, settings => inTheStore ? settings with { Before = KeepHistory } : settings);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var early = await node.ExecutionsAsync();

        await others.DisposeAsync();
        await RunEndsAsync(node);
        var entries = await Eventually.IsTrueOf(node.ExecutionsAsync, static entries => entries.Count > 0, "the entry");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(early, Is.Empty, "runs while it is put off");
            Assert.That(entries, Has.Count.EqualTo(1));
            Assert.That((entries[0].TriggerName, entries[0].TriggerGroup), Is.EqualTo((Mine.Name, Mine.Group)));
            Assert.That((entries[0].Result, entries[0].RetryAttempt, entries[0].Manual), Is.EqualTo((JobRunResult.Succeeded, 0, false)));
            Assert.That(await node.MisfiresAsync(), Is.Empty, "misfires and vetoes");
        }
    }

    [Test, Pairwise]
    public async Task Counts_a_run_that_was_put_off_once_in_the_status_of_its_job([Values] Store store, [Values] PutOff how, [Values] bool fails)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        Scene.Act = _ => fails ? throw new JobExecutionException("This job throws.") : Task.CompletedTask;
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var early = await node.StatusAsync(MyJob);

        await others.DisposeAsync();
        await RunEndsAsync(node);
        var status = await Eventually.IsTrueOf(() => node.StatusAsync(MyJob), static status => status is not null, "the status");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(early, Is.Null);
            Assert.That(status!.RunCount, Is.EqualTo(1));
            Assert.That((status.FailureCount, status.ConsecutiveFailures), Is.EqualTo(fails ? (1L, 1) : (0L, 0)));
            Assert.That(status.LastResult, Is.EqualTo(fails ? JobRunResult.Failed : JobRunResult.Succeeded));
        }
    }

    [Test]
    public async Task Records_a_skip_as_a_veto_of_the_own_trigger([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        await using var others = await OthersHoldAsync();

        await ScheduleAsync(node, typeof(SkippingJob));
        var vetoes = await Eventually.IsTrueOf(node.MisfiresAsync, static vetoes => vetoes.Count > 0, "the veto");

        Assert.That(vetoes.Select(static veto => (veto.Reason, veto.TriggerName, veto.TriggerGroup)), Is.EqualTo([(MisfireReason.Vetoed, Mine.Name, Mine.Group)]));
        Assert.That(await node.ExecutionsAsync(), Is.Empty);
    }

    [Test]
    public async Task Records_a_failure_of_a_run_that_fails_for_its_lock([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        await using var others = await OthersHoldAsync();

        await ScheduleAsync(node, typeof(FailingJob));
        var entries = await Eventually.IsTrueOf(node.ExecutionsAsync, static entries => entries.Count > 0, "the failure");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(entries.Select(static entry => (entry.Result, entry.TriggerName)), Is.EqualTo([((JobRunResult?)JobRunResult.Failed, Mine.Name)]));
            Assert.That(entries[0].ExceptionMessage, Does.Contain(Scene.LockName));
            Assert.That((await node.StatusAsync(MyJob))?.ConsecutiveFailures, Is.EqualTo(1));
            Assert.That(await node.MisfiresAsync(), Is.Empty);
        }
    }

    [Test]
    public async Task Counts_the_run_once_in_the_metadata_and_only_when_it_runs([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var early = await node.Scheduler.GetMetadata();

        await others.DisposeAsync();
        await RunEndsAsync(node);
        var late = await node.Scheduler.GetMetadata();

        using (Assert.EnterMultipleScope())
        {
            Assert.That((early.JobsExecuted, early.LocalExecutingJobs), Is.EqualTo((0, 0)));
            Assert.That(late.JobsExecuted, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Shows_the_firing_under_its_own_trigger_and_only_while_it_runs([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        Scene.Act = static run => run.UntilToldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var early = await node.Scheduler.QueryFireInstances(new());

        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        var late = await node.Scheduler.QueryFireInstances(new());
        run.Leave();

        Assert.That(early.Items, Is.Empty);
        Assert.That(late.Items.Select(static firing => (firing.TriggerKey, firing.JobKey, firing.ScheduledFireTimeUtc)), Is.EqualTo([(Mine, MyJob, (DateTimeOffset?)Start)]));
        await node.Node.Told.NextEndAsync();
    }

    private static void KeepHistory(IQuartzBuilder quartz) => quartz.UsePersistentStore(static store => store.UseExecutionHistory());
}

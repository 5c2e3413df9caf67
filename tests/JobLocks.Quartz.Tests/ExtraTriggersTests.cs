using JobLocks.Gate;
using JobLocks.Quartz.Tests.Support;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging.Abstractions;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>A refused run of a scheduler that was built without JobLocks never vanishes, whatever the job store does meanwhile.</summary>
public sealed class ExtraTriggersTests
{
    private readonly IJobDetail _job = JobBuilder.Create<PlainJob>().WithIdentity("refused").Build();
    private readonly ITrigger _trigger = TriggerBuilder.Create().ForJob("refused").UsingJobData("clientId", 4).StartAt(DateTimeOffset.UtcNow.AddDays(1)).Build();

    private IScheduler _scheduler = null!;
    private Func<string, Func<object?>, object?> _store = static (_, ask) => ask();

    [SetUp]
    public async Task StoreTheJob()
    {
        _store = static (_, ask) => ask();
        _scheduler = await QuartzSchedulerBuilder.Create().BuildScheduler();
        await _scheduler.ScheduleJob(_job, _trigger);
    }

    [TearDown]
    public async Task EndScheduler() => await _scheduler.DisposeAsync();

    [Test]
    public async Task Waits_for_a_store_that_cannot_be_reached()
    {
        var failures = 2;
        _store = (call, ask) => IsScheduling(call) && failures-- > 0 ? throw new JobPersistenceException("The store is away.") : ask();

        Assert.That(await PutBackAsync(), Is.EqualTo(ExtraTriggers.Outcome.Done));
        Assert.That(await PutBackTriggersAsync(), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task Stores_one_trigger_when_the_answer_of_the_store_was_lost()
    {
        var isFirst = true;
        _store = (call, ask) =>
        {
            var answer = ask();
            if (!IsScheduling(call) || !isFirst) return answer;

            isFirst = false;
            throw new JobPersistenceException("The connection broke after the commit.");
        };

        Assert.That(await PutBackAsync(), Is.EqualTo(ExtraTriggers.Outcome.Done));
        Assert.That(await PutBackTriggersAsync(), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task Gives_up_when_the_job_was_deleted_meanwhile()
    {
        await _scheduler.DeleteJob(_job.Key);

        Assert.That(await PutBackAsync(), Is.EqualTo(ExtraTriggers.Outcome.JobIsGone));
    }

    [Test]
    public async Task Brings_the_job_back_when_other_nodes_tidied_it_away_while_the_store_was_away()
    {
        var isFirst = true;
        _store = (call, ask) =>
        {
            if (!IsScheduling(call) || !isFirst) return ask();

            isFirst = false;
            throw new JobPersistenceException("The store is away.");
        };

        var putBack = PutBackAsync();
        await _scheduler.DeleteJob(_job.Key);

        Assert.That(await putBack, Is.EqualTo(ExtraTriggers.Outcome.Done));
        Assert.That(await _scheduler.Exists(_job.Key), Is.True);
    }

    [Test]
    public async Task Ends_its_waiting_when_the_scheduler_shuts_down()
    {
        await _scheduler.Shutdown();

        Assert.That(await PutBackAsync(), Is.EqualTo(ExtraTriggers.Outcome.ShuttingDown));
    }

    private static bool IsScheduling(string call) => string.Equals(call, nameof(IScheduler.ScheduleJob), StringComparison.Ordinal);

    private async Task<ExtraTriggers.Outcome> PutBackAsync()
    {
        var scheduler = Proxy.Before(_scheduler, (call, ask) => _store(call, ask));
        var context = Proxy.Before<IJobExecutionContext>(inner: null, (call, ask) => call switch
        {
            "get_Scheduler" => scheduler,
            "get_JobDetail" => _job,
            "get_Trigger" => _trigger,
            "get_FireInstanceId" => "4",
            "get_Recovering" => false,
            "get_RetryAttempt" => 0,
            _ => ask(),
        });
        var refusal = new Admission.Refused(OnConflict.Reschedule, "sync(4) is held by another run", TimeSpan.FromMinutes(1));
        return await new ExtraTriggers(NullLogger.Instance).PutBackAsync(context, refusal).AsTask().Soon();
    }

    private async Task<List<TriggerKey>> PutBackTriggersAsync() =>
        await _scheduler.GetTriggerKeys(GroupMatcher<TriggerKey>.GroupEquals(StandIn.Group));
}

using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>Says which locks a firing would ask for, without a scheduler.</summary>
[TestFixture]
public sealed class ExplainTests
{
    [Test]
    public void Names_the_lock_its_key_and_its_rule()
    {
        var job = JobBuilder.Create<SyncJob>().UsingJobData("clientId", 4).Build();

        var explained = JobLockAttribute.Explain(job);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(explained.Name, Is.EqualTo("sync(4)"));
            Assert.That(explained.Key.Value, Is.EqualTo(-672582401413756830));
            Assert.That(explained.Rule, Is.EqualTo("[JobLock(\"sync({clientId})\")]"));
        }
    }

    [Test]
    public void Takes_the_data_of_the_trigger_before_those_of_the_job_and_the_scope()
    {
        var job = JobBuilder.Create<SyncJob>().UsingJobData("clientId", 4).Build();

        var explained = JobLockAttribute.Explain(job, new JobDataMap { ["clientId"] = 5 }, "billing");

        Assert.That(explained.Name, Is.EqualTo("billing:sync(5)"));
    }

    [Test]
    public void Says_that_a_job_has_no_lock()
    {
        var explained = JobLockAttribute.Explain(JobBuilder.Create<FreeJob>().Build());

        Assert.That(explained.ToString(), Is.EqualTo("no lock"));
    }

    [Test]
    public void Refuses_a_firing_whose_data_lack_a_key_of_the_name()
    {
        var error = Assert.Throws<JobLockRuleException>(static () => JobLockAttribute.Explain(JobBuilder.Create<SyncJob>().Build()));

        Assert.That(error!.Message, Does.Contain("{clientId}"));
    }

    [JobLock("sync({clientId})")]
    private sealed class SyncJob : IJob
    {
        public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => default;
    }

    private sealed class FreeJob : IJob
    {
        public ValueTask Execute(IJobExecutionContext context, CancellationToken cancellationToken = default) => default;
    }
}

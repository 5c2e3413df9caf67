namespace JobLocks.Hangfire.Tests;

/// <summary>Says which locks a call would ask for, without a server.</summary>
[TestFixture]
public sealed class ExplainTests
{
    [Test]
    public void Names_the_lock_its_key_and_its_rule()
    {
        var explained = JobLockAttribute.Explain<Job>(static job => job.Sync(4));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(explained.Name, Is.EqualTo("sync(4)"));
            Assert.That(explained.Key.Value, Is.EqualTo(-672582401413756830));
            Assert.That(explained.Rule, Is.EqualTo("[JobLock(\"sync({clientId})\")]"));
            Assert.That(explained.ToString(), Is.EqualTo("sync(4) (-672582401413756830) by [JobLock(\"sync({clientId})\")]"));
        }
    }

    [Test]
    public void Puts_the_scope_before_the_name()
    {
        var explained = JobLockAttribute.Explain<Job>(static job => job.Sync(4), "billing");

        Assert.That(explained.Name, Is.EqualTo("billing:sync(4)"));
    }

    [Test]
    public void Explains_an_asynchronous_call_with_its_mode_and_limit()
    {
        var explained = JobLockAttribute.Explain<Job>(static job => job.ReadAsync(4));

        Assert.That(explained.Rule, Is.EqualTo("[JobLock(\"read({clientId})\", Mode = LockMode.Shared)]"));
    }

    [Test]
    public void Says_that_a_job_has_no_lock()
    {
        var explained = JobLockAttribute.Explain<Job>(static job => job.Free());

        using (Assert.EnterMultipleScope())
        {
            Assert.That(explained.Locks, Is.Empty);
            Assert.That(explained.ToString(), Is.EqualTo("no lock"));
            Assert.That(() => explained.Name, Throws.InvalidOperationException);
        }
    }

    [Test]
    public void Refuses_a_rule_that_cannot_work()
    {
        var error = Assert.Throws<JobLockRuleException>(static () => JobLockAttribute.Explain<Job>(static job => job.Wrong(4)));

        Assert.That(error!.Message, Does.Contain("[JobLock(\"sync({id})\")]").And.Contain("clientId"));
    }

    public sealed class Job
    {
        [JobLock("sync({clientId})")]
        public void Sync(int clientId) => _ = clientId;

        [JobLock("read({clientId})", Mode = LockMode.Shared)]
        public Task ReadAsync(int clientId) => Task.FromResult(clientId);

        [JobLock("sync({id})")]
        public void Wrong(int clientId) => _ = clientId;

        public void Free()
        {
            // Never run.
        }
    }
}

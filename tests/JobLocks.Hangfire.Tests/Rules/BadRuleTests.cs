using Hangfire;
using Hangfire.Common;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests.Rules;

/// <summary>A rule that cannot work is reported to whoever enqueues the job, and nothing is enqueued.</summary>
[TestFixture]
public sealed class BadRuleTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Servers = 1 };

    [TestCase(nameof(ClientSync.UnknownName), "[JobLock(\"sync({id})\")]", "names {id}, but the method has only: clientId, order. Use one of these, or a position such as {0}.")]
    [TestCase(nameof(ClientSync.WrongCapitals), "[JobLock(\"sync({ClientId})\")]", "names {ClientId}, but the method has only: clientId, order. Use one of these, or a position such as {0}.")]
    [TestCase(nameof(ClientSync.WrongPosition), "[JobLock(\"sync({3})\")]", "names position {3}, but the method has only: clientId, order. Use one of these, or a position such as {0}. Positions count from 0.")]
    [TestCase(nameof(ClientSync.OpenBrace), "[JobLock(\"sync({clientId)\")]", "opens a brace at position 5 that is never closed. Write {clientId} for an argument, or {{ for a brace that is part of the name.")]
    [TestCase(nameof(ClientSync.CloseBrace), "[JobLock(\"sync(clientId})\")]", "closes a brace at position 13 that was never opened. Write }} for a brace that is part of the name.")]
    [TestCase(nameof(ClientSync.EmptyName), "[JobLock(\"\")]", "has an empty name. Write one, such as \"sync({clientId})\", or leave it out to lock on the type, the method and all arguments.")]
    [TestCase(nameof(ClientSync.EmptyBraces), "[JobLock(\"sync({})\")]", "has an empty name in the braces at position 5. Write {clientId}, {0} or {order.CustomerId}.")]
    [TestCase(nameof(ClientSync.NullName), "[JobLock(null)]", "has an empty name.")]
    [TestCase(nameof(ClientSync.Plumbing), "[JobLock(\"sync({stop})\")]", "names {stop}, a CancellationToken that the scheduler fills in, which never names a lock. Use one of these, or a position such as {0}.")]
    [TestCase(nameof(ClientSync.PlumbingByPosition), "[JobLock(\"sync({2})\")]", "names {2}, a CancellationToken that the scheduler fills in, which never names a lock.")]
    [TestCase(nameof(ClientSync.UnknownProperty), "[JobLock(\"sync({order.Customer})\")]", "names {order.Customer}, but Order has no property Customer; it has only: CustomerId, Lines. Use one of these.")]
    [TestCase(nameof(ClientSync.BadFormat), "[JobLock(\"sync({clientId:Q})\")]", "names {clientId} with the format \"Q\", but Format specifier was invalid. Name a value that has a text of its own.")]
    [TestCase(nameof(ClientSync.FormatOfAnObject), "[JobLock(\"sync({order:D})\")]", "names {order} with the format \"D\", but only numbers, dates, times, Guids and enums have formats.")]
    [TestCase(nameof(ClientSync.RetryAtOnce), "[JobLock(\"sync({clientId})\", RetryAfterSeconds = 0)]", "has RetryAfterSeconds = 0, but a run cannot be tried again in the past or at once. Use 1 or more.")]
    [TestCase(nameof(ClientSync.RetryInThePast), "[JobLock(\"sync({clientId})\", RetryAfterSeconds = -1)]", "has RetryAfterSeconds = -1, but a run cannot be tried again in the past or at once. Use 1 or more.")]
    [TestCase(nameof(ClientSync.TooLate), "[JobLock(\"sync({clientId})\")]", "has Order = 20, but Hangfire's own filters from 20 on must see what became of a refused run. Use 19 or less.")]
    [TestCase(nameof(ClientSync.UnknownOutcome), "[JobLock(\"sync({clientId})\", OnConflict = OnConflict.7)]", "has an unknown OnConflict. Use one of ")]
    public void Is_refused_at_enqueue_with_the_attribute_the_job_and_the_fix(string method, string attribute, string expected)
    {
        var job = new Job(typeof(ClientSync), typeof(ClientSync).GetMethod(method), 4, new Order(7), CancellationToken.None);
        var before = Servers.CountJobs();

        var error = Assert.Throws<BackgroundJobClientException>(() => Servers.Client.Create(job, new EnqueuedState()));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.InnerException, Is.TypeOf<JobLockRuleException>());
            Assert.That(error.InnerException!.Message, Does.StartWith($"{attribute} on ClientSync.{method} {expected}"));
            Assert.That(Servers.CountJobs(), Is.EqualTo(before));
        }
    }

    [Test]
    public void Is_refused_in_the_same_words_each_time()
    {
        var first = Assert.Throws<BackgroundJobClientException>(() => Servers.Enqueue<ClientSync>(static job => job.UnknownName(4, null, CancellationToken.None)));
        var second = Assert.Throws<BackgroundJobClientException>(() => Servers.Enqueue<ClientSync>(static job => job.UnknownName(5, null, CancellationToken.None)));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                first!.InnerException!.Message,
                Is.EqualTo("[JobLock(\"sync({id})\")] on ClientSync.UnknownName names {id}, but the method has only: clientId, order. Use one of these, or a position such as {0}."));
            Assert.That(second!.InnerException!.Message, Is.EqualTo(first.InnerException.Message));
        }
    }

    [Test]
    public void Is_refused_for_an_argument_that_no_name_can_be_made_of()
    {
        var before = Servers.CountJobs();

        var error = Assert.Throws<BackgroundJobClientException>(() => Servers.Enqueue<ClientSync>(static job => job.ByText("cut \uD83D")));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.InnerException, Is.TypeOf<JobLockRuleException>());
            Assert.That(error.InnerException!.Message, Does.StartWith("[JobLock(\"sync({text})\")] on ClientSync.ByText "));
            Assert.That(Servers.CountJobs(), Is.EqualTo(before));
        }
    }

    [Test]
    public void Is_refused_when_either_of_two_is_wrong()
    {
        var before = Servers.CountJobs();

        var error = Assert.Throws<BackgroundJobClientException>(() => Servers.Enqueue<TwoRules>(static job => job.Run(4)));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.InnerException!.Message, Does.StartWith("[JobLock(\"also({id})\")] on TwoRules.Run names {id}"));
            Assert.That(Servers.CountJobs(), Is.EqualTo(before));
        }
    }

    [Test]
    public void Is_refused_for_recurring_jobs_when_an_occurrence_is_created()
    {
        var before = Servers.CountJobs();
        Servers[0].Recurring.AddOrUpdate<ClientSync>("bad", static job => job.UnknownName(4, null, CancellationToken.None), Cron.Yearly);

        var error = Assert.Throws<AggregateException>(() => Servers[0].Recurring.TriggerJob("bad"));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.InnerException, Is.TypeOf<JobLockRuleException>());
            Assert.That(Servers.CountJobs(), Is.EqualTo(before));
        }
    }

    public sealed record Order(int CustomerId)
    {
        public IReadOnlyList<string> Lines { get; init; } = [];
    }

    public class ClientSync
    {
        [JobLock("sync({id})")]
        public void UnknownName(int clientId, Order? order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({ClientId})")]
        public void WrongCapitals(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({3})")]
        public void WrongPosition(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({clientId)")]
        public void OpenBrace(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync(clientId})")]
        public void CloseBrace(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("")]
        public void EmptyName(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({})")]
        public void EmptyBraces(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock(null!)]
        public void NullName(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({stop})")]
        public void Plumbing(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({2})")]
        public void PlumbingByPosition(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({order.Customer})")]
        public void UnknownProperty(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({clientId:Q})")]
        public void BadFormat(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({order:D})")]
        public void FormatOfAnObject(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({clientId})", RetryAfterSeconds = 0)]
        public void RetryAtOnce(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({clientId})", RetryAfterSeconds = -1)]
        public void RetryInThePast(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({clientId})", Order = 20)]
        public void TooLate(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({clientId})", OnConflict = (OnConflict)7)]
        public void UnknownOutcome(int clientId, Order order, CancellationToken stop) => throw new NotSupportedException();

        [JobLock("sync({text})")]
        public void ByText(string text) => throw new NotSupportedException();
    }

    [JobLock("sync({clientId})")]
    public class TwoRules
    {
        [JobLock("also({id})")]
        public void Run(int clientId) => throw new NotSupportedException();
    }
}

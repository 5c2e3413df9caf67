using JobLocks.Naming;
using JobLocks.Rules;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Naming;

[TestFixture]
public sealed class BadRuleTests
{
    private sealed record Order(int Id)
    {
        public string Broken => throw new InvalidOperationException("no database");
    }

    private static readonly JobSignature Run = JobSignature.Of(
        typeof(ClientSync),
        nameof(ClientSync.Run),
        [new("clientId", typeof(int), IsFilledByScheduler: false), new("order", typeof(Order), IsFilledByScheduler: false), new("stop", typeof(CancellationToken), IsFilledByScheduler: true)]);

    private static readonly JobSignature NamesOnly = JobSignature.Of(typeof(ClientSync));

    [TestCase("sync({id})", "names {id}, but the method has only: clientId, order. Use one of these, or a position such as {0}.")]
    [TestCase("sync({ClientId})", "names {ClientId}, but the method has only: clientId, order.")]
    [TestCase("sync({3})", "names position {3}, but the method has only: clientId, order.")]
    [TestCase("sync({-1})", "names {-1}, but the method has only: clientId, order.")]
    [TestCase("sync({stop})", "names {stop}, a CancellationToken that the scheduler fills in")]
    [TestCase("sync({2})", "names {2}, a CancellationToken that the scheduler fills in")]
    [TestCase("sync({order.Nope})", "names {order.Nope}, but Order has no property Nope; it has only: Id, Broken.")]
    [TestCase("sync({clientId)", "opens a brace at position 5 that is never closed")]
    [TestCase("sync({clientId", "opens a brace at position 5 that is never closed")]
    [TestCase("sync({a{b}})", "opens a brace at position 5 that is never closed")]
    [TestCase("sync(clientId})", "closes a brace at position 13 that was never opened")]
    [TestCase("sync({})", "has an empty name in the braces at position 5")]
    [TestCase("sync({order.})", "has an empty name in the braces at position 5")]
    [TestCase("", "has an empty name. Write one")]
    [TestCase("  ", "has an empty name. Write one")]
    public void Is_refused_with_the_declaration_the_job_and_the_fix(string template, string expected)
    {
        var error = Assert.Throws<JobLockRuleException>(() => LockRule.For(new(template, OnConflict.Wait, 15), Run));

        Assert.That(error!.Message, Does.StartWith($"[JobLock(\"{template}\")] on ClientSync.Run {expected}"));
    }

    [Test]
    public void Is_refused_for_a_position_where_arguments_have_names_only()
    {
        var error = Assert.Throws<JobLockRuleException>(static () => LockRule.For(new("sync({0})", OnConflict.Wait, 15) { IsAttribute = false }, NamesOnly));

        Assert.That(error!.Message, Is.EqualTo("WithJobLock(\"sync({0})\") on ClientSync names {0}, but here arguments have names, no positions. Write a key of the job's data, such as {clientId}."));
    }

    [TestCase(-1)]
    [TestCase(0)]
    public void Is_refused_for_a_try_that_is_not_later(int seconds)
    {
        var error = Assert.Throws<JobLockRuleException>(() => LockRule.For(new("sync", OnConflict.Skip, seconds), Run));

        Assert.That(error!.Message, Does.StartWith($"[JobLock(\"sync\", OnConflict = OnConflict.Skip, RetryAfterSeconds = {seconds})] on ClientSync.Run has RetryAfterSeconds = {seconds}"));
    }

    [Test]
    public void Is_refused_for_an_unknown_way_to_answer_a_conflict()
    {
        var error = Assert.Throws<JobLockRuleException>(static () => LockRule.For(new(null, (OnConflict)9, 15), Run));

        Assert.That(error!.Message, Does.Contain("unknown OnConflict").And.Contain("Reschedule, Skip, Fail"));
    }

    [Test]
    public void Fails_the_run_that_lacks_an_entry()
    {
        var error = Assert.Throws<JobLockRuleException>(static () => Calls.NameOfNamed("sync({clientId})", ("region", "eu")));

        Assert.That(error!.Message, Is.EqualTo("[JobLock(\"sync({clientId})\")] on ClientSync names {clientId}, but the data of this run has only: region. Put clientId into the data of the job or of its trigger."));
    }

    [Test]
    public void Fails_the_run_whose_property_throws()
    {
        var error = Assert.Throws<JobLockRuleException>(static () => Calls.NameOf("sync({order.Broken})", ("order", new Order(7))));

        Assert.That(error!.Message, Does.Contain("reading Broken threw no database"));
    }

    [TestCase("{v:Q}", 4)]
    [TestCase("{v:yyyy}", "no date")]
    public void Fails_the_run_whose_value_has_no_such_format(string template, object value)
    {
        var error = Assert.Throws<JobLockRuleException>(() => Calls.NameOf(template, ("v", value)));

        Assert.That(error!.Message, Does.Contain($"names {{v}} with the format \"{template[3..^1]}\""));
    }

    [Test]
    public void Fails_the_run_whose_value_cannot_be_written()
    {
        var cycle = new List<object>();
        cycle.Add(cycle);

        var error = Assert.Throws<JobLockRuleException>(() => Calls.NameOf(null, ("v", cycle)));

        Assert.That(error!.Message, Does.Contain("cannot be written as JSON"));
    }

    [Test]
    public void Fails_the_run_whose_name_is_no_text()
    {
        var call = Calls.Call("sync({v})", ("v", "a\uD83D"));

        var error = Assert.Throws<JobLockRuleException>(() => call.Rules[0].KeyFor(call.Rules[0].NameFor(call), call));

        Assert.That(error!.Message, Does.Contain("half of a surrogate pair"));
    }
}

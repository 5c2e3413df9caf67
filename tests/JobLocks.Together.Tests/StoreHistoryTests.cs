using JobLocks.Chaos;

namespace JobLocks.Together.Tests;

/// <summary>The checker of random histories excuses what an operator did to a whole store, and nothing else.</summary>
[TestFixture]
public sealed class StoreHistoryTests : WrittenHistory
{
    [Test]
    public void Excuses_a_run_that_a_cleared_store_had_and_no_other()
    {
        Given(1);
        AddToStore(Act.Clear);
        AddToStore(Act.Stored);
        Given(2);

        Assert.That(Check(), Is.EqualTo(["never started: run 2"]));
    }

    [Test]
    public void Excuses_no_run_of_the_other_scheduler()
    {
        Offer(new(1, "a", "", Kind.Alone, IsForHangfire: false, 1));
        Add(Act.Offer, run: 1);
        AddToStore(Act.Clear);
        AddToStore(Act.Stored);

        Assert.That(Check(), Is.EqualTo(["never started: run 1"]));
    }

    [Test]
    public void Excuses_what_was_offered_after_a_dump_and_expects_what_is_in_it()
    {
        Given(1);
        AddToStore(Act.Dump);
        AddToStore(Act.Stored);
        Given(2);
        AddToStore(Act.Restore);
        AddToStore(Act.Stored);
        Given(3);

        Assert.That(Check(), Is.EqualTo(["never started: run 1", "never started: run 3"]));
    }

    [Test]
    public void Lets_a_run_come_again_that_is_in_a_dump_and_no_other()
    {
        Given(1);
        AddToStore(Act.Dump);
        AddToStore(Act.Stored);
        Given(2);
        Play(1);
        Play(2);
        AddToStore(Act.Restore);
        AddToStore(Act.Stored);
        Play(1, "again");
        Play(2, "again");

        Assert.That(Check(), Has.Exactly(1).Items.And.All.StartsWith("double: run 2"));
    }

    [Test]
    public void Lets_a_run_of_Quartz_come_twice_that_was_scheduled_anew_while_it_ran()
    {
        for (var run = 1; run <= 2; run++) Offer(new(run, "a", "", Kind.Alone, IsForHangfire: false, 1));
        Enter(1);
        Add(Act.Again, run: 1);
        Leave(1);
        Play(1, "again");
        Add(Act.Again, run: 2);
        Play(2);
        Play(2, "again");

        Assert.That(Check(), Has.Exactly(1).Items.And.All.StartsWith("double: run 2"));
    }

    [Test]
    public void Excuses_a_run_of_an_application_that_was_stopped_for_good()
    {
        Offer(new Offer(1, "a", "", Kind.Alone, IsForHangfire: true, 1) { IsOfGuest = true });
        Add(Act.Offer, run: 1);

        Assert.That(Check(), Is.Empty);
    }

    private void Given(int run)
    {
        Offer(run);
        Add(Act.Offer, run);
    }

    private void Play(int run, string attempt = "")
    {
        Enter(run, attempt: attempt);
        Leave(run, attempt);
    }
}

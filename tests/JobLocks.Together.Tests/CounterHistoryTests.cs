using JobLocks.Chaos;
using Quartz;

namespace JobLocks.Together.Tests;

/// <summary>The checker complains where persisted job data lost an update, and where a series did not keep its policy or its end.</summary>
[TestFixture]
public sealed class CounterHistoryTests : WrittenHistory
{
    [Test]
    public void Finds_nothing_where_each_run_added_one()
    {
        Count(1, before: 0, after: 1);
        Count(2, before: 1, after: 2);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Finds_a_run_that_read_before_the_last_one_had_written()
    {
        Count(1, before: 0, after: 1);
        Count(2, before: 1, after: 1);

        Assert.That(Check(), Is.EqualTo(["lost update: run 2 wrote 1 over 1 to counter-a at 6"]));
    }

    [Test]
    public void Finds_a_run_whose_count_was_never_written()
    {
        Offer(Counting(1));
        Enter(1);
        Leave(1);

        Assert.That(Check(), Is.EqualTo(["lost update: run 1 ended at 2 and wrote nothing to counter-a"]));
    }

    [Test]
    public void Lets_a_killed_process_take_the_write_of_its_last_run_with_it()
    {
        Offer(Counting(1));
        Enter(1);
        Leave(1);
        Add(Act.Kill);
        Add(Act.Struck);
        Count(2, before: 0, after: 1);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Does_not_excuse_an_update_that_was_lost_long_after_a_kill()
    {
        Offer(Counting(1));
        Add(Act.Kill);
        Add(Act.Struck);
        Enter(1);
        Leave(1);

        Assert.That(Check(), Has.One.StartsWith("lost update: run 1"));
    }

    [Test]
    public void Lets_a_run_read_what_one_without_its_lock_is_about_to_replace()
    {
        Offer(Counting(1));
        Offer(Counting(2));
        Enter(1);
        Add(Act.Terminate);
        Add(Act.Struck);
        Enter(2);
        Leave(1);
        Wrote(1, before: 0, after: 1);
        Leave(2);
        Wrote(2, before: 1, after: 1);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Finds_more_waiting_occurrences_than_their_policy_lets_wait()
    {
        Offer(Repeating(1));
        Enter(1);
        LookAtWaiting(1, count: 1);
        var allowed = Check(except: 1);
        LookAtWaiting(1, count: 2);
        Leave(1);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(allowed, Is.Empty);
            Assert.That(Check(), Is.EqualTo(["too many waiting: 2 occurrences of run 1 waited, whose policy is Skip"]));
        }
    }

    [Test]
    public void Lets_a_series_come_several_times()
    {
        Offer(Repeating(1));
        Enter(1);
        Leave(1);
        Enter(1, attempt: "next");
        Leave(1, attempt: "next");

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Finds_an_occurrence_that_came_after_its_trigger_was_unscheduled()
    {
        Offer(Repeating(1) with { Parting = Parting.Unschedules });
        Enter(1);
        Add(Act.Unschedule, run: 1);
        Leave(1);
        Enter(1, attempt: "next");
        Leave(1, attempt: "next");

        Assert.That(Check(), Is.EqualTo(["removed run started: run 1"]));
    }

    private static Offer Counting(int run) => new(run, "counter-a", "", Kind.Alone, IsForHangfire: false, 1) { Counts = true };

    private static Offer Repeating(int run) => new(run, "c", "", Kind.Alone, IsForHangfire: false, 1) { Series = new(OverlapPolicy.Skip, 3, 300) };

    private void Count(int run, int before, int after)
    {
        Offer(Counting(run));
        Enter(run);
        Leave(run);
        Wrote(run, before, after);
    }
}

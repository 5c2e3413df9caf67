using JobLocks.Chaos;

namespace JobLocks.Together.Tests;

/// <summary>The checker of random histories complains where something went wrong, and only there.</summary>
[TestFixture]
public sealed class HistoryCheckerTests : WrittenHistory
{
    [Test]
    public void Finds_nothing_in_a_history_in_which_all_runs_executed_in_order()
    {
        Offer(1);
        Offer(2);
        Enter(1, place: 0);
        Leave(1);
        Enter(2, place: 7);
        Leave(2);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Finds_two_runs_at_once()
    {
        Offer(1);
        Offer(2);
        Enter(1);
        Enter(2);
        Leave(1);
        Leave(2);

        Assert.That(Check(), Is.EqualTo(["overlap under a: run 2 entered at 2, where run 1 had been from 1"]));
    }

    [Test]
    public void Finds_two_runs_at_once_of_which_one_has_two_locks()
    {
        Offer(1, Kind.Both, second: "b");
        Offer(2, name: "b");
        Enter(1);
        Enter(2);
        Leave(1);
        Leave(2);

        Assert.That(Check(), Has.One.StartsWith("overlap under b: run 2"));
    }

    [Test]
    public void Lets_readers_meet()
    {
        Offer(1, Kind.Shared);
        Offer(2, Kind.Shared);
        Enter(1);
        Enter(2);
        Leave(1);
        Leave(2);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Finds_a_writer_among_readers()
    {
        Offer(1, Kind.Shared);
        Offer(2);
        Enter(1);
        Enter(2);
        Leave(1);
        Leave(2);

        Assert.That(Check(), Has.One.StartsWith("overlap under a: run 2"));
    }

    [Test]
    public void Lets_two_of_a_limit_meet_and_finds_the_third()
    {
        for (var run = 1; run <= 3; run++) Offer(run, Kind.OfTwo);
        for (var run = 1; run <= 3; run++) Enter(run);
        for (var run = 1; run <= 3; run++) Leave(run);

        Assert.That(Check(), Has.One.StartsWith("overlap under a: run 3"));
    }

    [Test]
    public void Finds_a_run_that_never_came()
    {
        Offer(1);

        Assert.That(Check(), Is.EqualTo(["never started: run 1"]));
    }

    [Test]
    public void Finds_a_run_that_came_twice_unless_a_fault_met_it()
    {
        Offer(1);
        Enter(1);
        Leave(1);
        Enter(1, attempt: "again");
        Leave(1, attempt: "again");
        var without = Check();
        Add(Act.Kill, later: 100);
        Add(Act.Struck);
        var late = Check();
        Events.RemoveRange(Events.Count - 2, 2);
        Add(Act.Kill);
        Add(Act.Struck);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(without, Has.One.StartsWith("double: run 1"));
            Assert.That(late, Has.One.StartsWith("double: run 1"));
            Assert.That(Check(), Is.Empty);
        }
    }

    [Test]
    public void Finds_a_run_that_went_on_long_after_its_session_was_ended()
    {
        Offer(1);
        Offer(2);
        Enter(1);
        Add(Act.Terminate);
        Add(Act.Struck);
        Enter(2);
        Leave(2);
        var told = Check(except: 1);
        Leave(1, later: 100);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(told, Is.Empty);
            Assert.That(Check(), Has.One.StartsWith("overlap under a: run 2"));
        }
    }

    [Test]
    public void Finds_a_run_that_came_after_it_was_deleted()
    {
        Offer(1);
        Add(Act.Delete, run: 1);
        Enter(1);
        Leave(1);

        Assert.That(Check(), Is.EqualTo(["removed run started: run 1"]));
    }

    [Test]
    public void Finds_a_run_that_started_before_one_that_had_waited_longer()
    {
        Offer(1);
        Offer(2);
        Enter(2, place: 8);
        Leave(2);
        Enter(1, place: 7);
        Leave(1);

        Assert.That(Check(), Is.EqualTo(["out of order under a: run 2 with place 8 before run 1 with place 7"]));
    }

    [Test]
    public void Accepts_a_page_that_showed_a_run_which_had_its_lock()
    {
        Offer(1);
        Enter(1);
        LookAt(run: 1, isHeld: true);
        Leave(1);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Accepts_a_page_that_showed_a_lock_which_was_acquired_and_released_meanwhile()
    {
        Offer(1);
        var since = Events.Count;
        Enter(1);
        Leave(1);
        LookAt(run: 1, isHeld: false, since);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Finds_a_lock_that_was_shown_and_that_no_run_held()
    {
        Offer(1);
        Enter(1);
        Leave(1);
        LookAt(run: 0, isHeld: false);

        Assert.That(Check(), Has.Exactly(1).Items.And.All.StartsWith("wrong holder: ").And.All.Contains("held by backend 7"));
    }

    [Test]
    public void Finds_a_run_that_was_shown_when_another_one_had_come_after_it()
    {
        Offer(1);
        Offer(2);
        Enter(1);
        Leave(1);
        Enter(2);
        LookAt(run: 1, isHeld: true);
        Leave(2);

        Assert.That(Check(), Has.Exactly(1).Items.And.All.StartsWith("wrong holder: run 1 was shown"));
    }

    [Test]
    public void Believes_a_lock_that_a_run_of_Quartz_got_too_late_and_came_for_again()
    {
        Offer(new(1, "a", "", Kind.Alone, IsForHangfire: false, 1));
        LookAt(run: 0, isHeld: false);
        var named = Events.Count;
        LookAt(run: 1, isHeld: false, named);
        Enter(1, place: 1);
        Leave(1);

        Assert.That(Check(), Has.Exactly(1).Items.And.All.StartsWith("wrong holder: ").And.All.Contains("held by backend 7"));
    }

    [Test]
    public void Finds_a_run_that_entered_without_its_lock_unless_its_session_had_been_ended()
    {
        Offer(1);
        Offer(2);
        Enter(1);
        Leave(1);
        Enter(2);
        Events[^1] = Events[^1] with { HadLock = false };
        Leave(2);
        var without = Check();
        Events.Clear();
        Add(Act.Terminate);
        Add(Act.Struck);
        Enter(1);
        Enter(2);
        Events[^1] = Events[^1] with { HadLock = false };
        Add(Act.Lost, run: 2, attempt: "2");
        Leave(1);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(without, Is.EqualTo(["unlocked: run 2 entered at 3 in one without its lock"]));
            Assert.That(Check(except: 2), Is.Empty);
        }
    }
}

using JobLocks.Chaos;

namespace JobLocks.Together.Tests;

/// <summary>The checker complains where a continuation was not settled by what its parent came to, or a run that another one made did not come.</summary>
[TestFixture]
public sealed class FamilyHistoryTests : WrittenHistory
{
    [Test]
    public void Finds_nothing_in_a_chain_in_which_each_run_followed_the_one_before()
    {
        Family(End.Success, End.Any);
        for (var run = 1; run <= 3; run++) Run(run);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Finds_a_continuation_that_did_not_run_after_the_end_it_waited_for()
    {
        Family(End.Success);
        Run(1);

        Assert.That(Check(), Is.EqualTo(["orphan: run 2 did not run after Success of run 1, which came to Success"]));
    }

    [Test]
    public void Finds_a_continuation_that_ran_after_another_end()
    {
        Family(End.Failure);
        Run(1);
        Run(2);

        Assert.That(Check(), Is.EqualTo(["orphan: run 2 ran after Failure of run 1, which came to Success"]));
    }

    [Test]
    public void Finds_a_continuation_that_did_not_run_after_the_failure_it_waited_for()
    {
        Offer(Member(1) with { IsMeantToFail = true });
        Offer(Member(2) with { Parent = 1, After = End.Failure });
        Enter(1);
        Add(Act.Fail, run: 1, attempt: "1");

        Assert.That(Check(), Is.EqualTo(["orphan: run 2 did not run after Failure of run 1, which came to Failure"]));
    }

    [Test]
    public void Finds_a_continuation_that_was_dropped_with_a_skipped_parent_though_it_waited_for_a_veto()
    {
        Offer(Member(1) with { Kind = Kind.Skips });
        Offer(Member(2) with { Parent = 1, After = End.Veto });

        Assert.That(Check(), Is.EqualTo(["orphan: run 2 did not run after Veto of run 1, which came to Veto"]));
    }

    [Test]
    public void Finds_a_continuation_of_a_continuation_that_Quartz_must_discard()
    {
        Family(End.Failure, End.Any);
        Run(1);
        Run(3);

        Assert.That(Check(), Is.EqualTo(["orphan: run 3 ran after Any of run 2, which came to Discarded"]));
    }

    [Test]
    public void Lets_a_continuation_of_Hangfire_follow_a_deleted_one()
    {
        Offer(Member(1) with { IsForHangfire = true });
        Offer(Member(2) with { IsForHangfire = true, Parent = 1, After = End.Deletion });
        Offer(Member(3) with { IsForHangfire = true, Parent = 2, After = End.Any });
        Run(1);
        Run(3);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Finds_a_continuation_that_came_before_its_parent_had_ended()
    {
        Family(End.Any);
        Run(2);
        Run(1);

        Assert.That(Check(), Is.EqualTo(["early: run 2 entered before 4, when its parent 1 ended"]));
    }

    [Test]
    public void Finds_a_continuation_that_was_left_over()
    {
        Family(End.Failure);
        Run(1);
        LeftOver(2, Rest.Awaiting);

        Assert.That(Check(), Is.EqualTo(["orphan: run 2, which continues run 1, is left in the state AWAITING"]));
    }

    [Test]
    public void Finds_a_run_that_was_left_over()
    {
        Offer(Member(1));
        Run(1);
        LeftOver(1, Rest.Complete);

        Assert.That(Check(), Is.EqualTo(["left: run 1 in the state COMPLETE"]));
    }

    [Test]
    public void Lets_Quartz_settle_the_continuations_of_a_node_that_was_killed()
    {
        Family(End.Success, End.Any);
        Enter(1);
        Add(Act.Kill);
        Add(Act.Struck);
        Add(Act.Recover, run: 1);
        Enter(1, attempt: "again");
        Leave(1, attempt: "again");
        LeftOver(2, Rest.Error);
        LeftOver(3, Rest.Awaiting);

        Assert.That(Check(), Is.Empty);
    }

    [Test]
    public void Finds_a_run_that_another_one_had_made_and_that_did_not_come()
    {
        MakerAndMade(out var made);
        Enter(1);
        Add(Act.Make, run: made);
        Leave(1);

        Assert.That(Check(), Is.EqualTo(["orphan: run 2 did not run, and run 1 had made it"]));
    }

    [Test]
    public void Finds_a_run_that_came_twice_though_it_was_made_once()
    {
        MakerAndMade(out var made);
        Enter(1);
        Add(Act.Make, run: made);
        Leave(1);
        Run(made);
        Enter(made, attempt: "again");
        Leave(made, attempt: "again");

        Assert.That(Check(), Has.Exactly(1).Items.And.All.StartsWith("double: run 2"));
    }

    private static Offer Member(int run) => new(run, "a", "", Kind.Alone, IsForHangfire: false, 1);

    /// <summary>A parent and its continuations in Quartz, each of the one before.</summary>
    private void Family(params End[] conditions)
    {
        Offer(Member(1));
        for (var i = 0; i < conditions.Length; i++) Offer(Member(i + 2) with { Parent = i + 1, After = conditions[i] });
    }

    private void MakerAndMade(out int made)
    {
        made = 2;
        Offer(Member(made) with { Maker = 1 });
        Offer(Member(1) with { Makes = Member(made), Parting = Parting.Moves });
    }

    private void Run(int run)
    {
        Enter(run);
        Leave(run);
    }
}

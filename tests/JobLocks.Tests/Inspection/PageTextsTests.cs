using JobLocks.Inspection.Pages;

namespace JobLocks.Tests.Inspection;

[TestFixture]
public sealed class PageTextsTests
{
    [Test]
    public void Says_for_how_long_a_lock_was_held_and_free_while_runs_waited()
    {
        var hour = new[] { Minute(held: 6, free: 1), Minute(held: 3, free: 2) };

        Assert.That(PageTexts.FreeWhileWaiting(hour), Is.EqualTo("In the last hour: held for 9.0 s, and free for 3.0 s while runs waited (25 %)."));
    }

    [Test]
    public void Says_nothing_about_a_lock_for_which_no_run_waited() => Assert.That(PageTexts.FreeWhileWaiting([Minute(held: 6, free: 0)]), Is.Null);

    private static LockMinute Minute(int held, int free) => new(DateTimeOffset.UnixEpoch, Runs: 1, TimeSpan.FromSeconds(held), Refused: 0, Waited: 0) { FreeWhileWaiting = TimeSpan.FromSeconds(free) };
}

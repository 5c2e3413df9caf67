using JobLocks.Inspection;

namespace JobLocks.Tests.Inspection;

/// <summary>How many looks are answered, at a time that the test sets.</summary>
[TestFixture]
public sealed class AnswerThrottleTests
{
    private TimeSpan _now = TimeSpan.FromHours(1);

    [Test]
    public void Answers_fifty_at_once_and_has_the_others_wait()
    {
        var pace = new AnswerThrottle(() => _now);

        var waits = Enumerable.Range(0, 100).Select(_ => pace.Next()).ToList();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waits.Take(50), Is.All.EqualTo(TimeSpan.Zero));
            Assert.That(waits.Skip(50), Is.EqualTo(Enumerable.Range(1, 50).Select(static nth => TimeSpan.FromMilliseconds(20 * nth))));
        }
    }

    [Test]
    public void Refuses_an_answer_that_would_wait_too_long_and_answers_again_a_moment_later()
    {
        var pace = new AnswerThrottle(() => _now);
        for (var i = 0; i < 200; i++) pace.Next();

        Assert.That(() => pace.Next(), Throws.TypeOf<JobLocksUnavailableException>().With.Message.Contains("Runs are not affected"));
        _now += TimeSpan.FromMilliseconds(20);
        Assert.That(pace.Next(), Is.EqualTo(TimeSpan.FromSeconds(3)));
    }
}

using JobLocks.Locks;

namespace JobLocks.Tests.Gate;

/// <summary>For how long locks are usually held.</summary>
[TestFixture]
public sealed class UsualHoldsTests
{
    private static readonly LockKey Key = LockKey.Of("sync(4)");

    [Test]
    public void Knows_nothing_of_a_lock_that_was_never_released() => Assert.That(new UsualHolds().Find(Key), Is.Null);

    [Test]
    public void Follows_the_last_holds()
    {
        var holds = new UsualHolds();

        holds.Add(Key, TimeSpan.FromSeconds(1));
        var first = holds.Find(Key);
        holds.Add(Key, TimeSpan.FromSeconds(5));
        var second = holds.Find(Key);
        for (var i = 0; i < 20; i++) holds.Add(Key, TimeSpan.FromSeconds(9));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(first, Is.EqualTo(TimeSpan.FromSeconds(1)));
            Assert.That(second, Is.EqualTo(TimeSpan.FromSeconds(2)));
            Assert.That(holds.Find(Key), Is.EqualTo(TimeSpan.FromSeconds(9)).Within(TimeSpan.FromSeconds(0.1)));
        }
    }

    [Test]
    public void Keeps_the_locks_that_were_released_last_and_no_endless_number()
    {
        var holds = new UsualHolds();

        for (var i = 0; i < 20_000; i++) holds.Add(new(i), TimeSpan.FromSeconds(1));

        Assert.That(Enumerable.Range(0, 20_000).Count(i => holds.Find(new(i)) is not null), Is.InRange(5_000, 10_000));
        Assert.That(holds.Find(new(19_999)), Is.Not.Null);
    }
}

using JobLocks.Gate;

namespace JobLocks.Tests.Gate;

/// <summary>How many workers may be occupied by runs that wait in them.</summary>
[TestFixture]
public sealed class WorkerShareTests
{
    [TestCase(20, 0, 5)]
    [TestCase(20, 15, 4)]
    [TestCase(20, 19, 0)]
    [TestCase(20, 20, 0)]
    [TestCase(4, 0, 1)]
    [TestCase(3, 0, 0)]
    [TestCase(1, 0, 0)]
    public void Leaves_workers_for_other_jobs(int workers, int performing, int expected)
    {
        var share = new WorkerShare();

        var room = share.Room(0.25, workers, performing);
        var occupied = Enumerable.Range(0, workers + 1).Count(_ => share.TryOccupy(0.25, workers, performing) is not null);

        Assert.That(occupied, Is.EqualTo(expected));
        Assert.That((room, share.Room(0.25, workers, performing)), Is.EqualTo((expected, 0)));
    }

    [Test]
    public void Gives_a_worker_to_another_run_when_the_wait_has_ended()
    {
        var share = new WorkerShare();

        var first = share.TryOccupy(0.25, 4, 0);
        var whileFirstWaits = share.TryOccupy(0.25, 4, 0);
        first!.Dispose();
        first.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(whileFirstWaits, Is.Null);
            Assert.That(share.TryOccupy(0.25, 4, 0), Is.Not.Null);
            Assert.That(share.TryOccupy(0.25, 4, 0), Is.Null, "the first one has ended only once");
        }
    }

    [Test]
    public void Occupies_no_worker_where_the_share_is_zero() => Assert.That(new WorkerShare().TryOccupy(0, 100, 0), Is.Null);
}

using JobLocks.WaitQueue;

namespace JobLocks.Tests.Gate;

/// <summary>What runs that wait in their workers are told.</summary>
[TestFixture, CancelAfter(30_000)]
public sealed class RunsInWorkersTests
{
    private static readonly LockKey Key = LockKey.Of("sync(4)");
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(20);

    private readonly List<LockKey> _woken = [];

    private RunsInWorkers Runs => field ??= new(_woken.Add);

    [SetUp]
    public void Forget() => _woken.Clear();

    [Test]
    public async Task Tells_the_first_run_of_a_key_that_the_lock_is_free([Values] bool blocks, CancellationToken stop)
    {
        using var second = Runs.Watch(2, Key, isExclusive: true);
        using var first = Runs.Watch(1, Key, isExclusive: true);

        var isTold = Runs.TryTellFree(Key);
        var told = await first.NextAsync(Long, blocks, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((isTold, told), Is.EqualTo((true, WakeSignal.Free)));
            Assert.That(second.Take(), Is.EqualTo(WakeSignal.None));
        }
    }

    [TestCase(true, "sync(5)")]
    [TestCase(false, "sync(4)")]
    public void Tells_no_run_of_another_key_or_of_a_lock_for_several(bool isExclusive, string name)
    {
        using var watch = Runs.Watch(1, LockKey.Of(name), isExclusive);

        Assert.That(Runs.TryTellFree(Key), Is.False);
        Assert.That(watch.Take(), Is.EqualTo(WakeSignal.None));
    }

    [Test]
    public async Task Has_the_next_run_woken_where_a_run_did_not_take_note_of_its_turn([Values] bool isWoken, [Values] bool isStopped, CancellationToken stop)
    {
        var watch = Runs.Watch(1, Key, isExclusive: true);
        Assert.That(isWoken ? Runs.Wake(1) : Runs.TryTellFree(Key), Is.True);

        var told = isStopped ? await watch.NextAsync(Long, blocks: false, new CancellationToken(canceled: true)) : WakeSignal.None;
        watch.Dispose();
        watch.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(told, Is.EqualTo(WakeSignal.None), "a run that is to be parked");
            Assert.That(_woken, Is.EqualTo(new[] { Key }));
            Assert.That(Runs.Wake(1), Is.False);
        }
    }

    [Test]
    public async Task Has_no_other_run_woken_where_a_run_has_taken_note_of_its_turn(CancellationToken stop)
    {
        var watch = Runs.Watch(1, Key, isExclusive: true);
        Runs.TryTellFree(Key);
        await watch.NextAsync(Long, blocks: false, stop);
        watch.Dispose();
        var read = Runs.Watch(2, Key, isExclusive: true);
        Runs.ReadAgain(2);
        read.Dispose();

        Assert.That(_woken, Is.Empty);
    }

    [Test]
    public void Keeps_the_watch_of_a_run_that_watches_once_more()
    {
        var former = Runs.Watch(1, Key, isExclusive: true);
        using var now = Runs.Watch(1, Key, isExclusive: true);

        former.Dispose();

        Assert.That(Runs.Wake(1), Is.True);
        Assert.That(now.Take(), Is.EqualTo(WakeSignal.Woken));
    }
}

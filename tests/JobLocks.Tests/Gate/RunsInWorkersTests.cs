using JobLocks.WaitQueue;

namespace JobLocks.Tests.Gate;

/// <summary>The signals to runs that wait in their workers.</summary>
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
    public async Task Signals_to_the_first_run_of_a_key_that_the_lock_is_free([Values] bool blocks, CancellationToken stop)
    {
        using var second = Runs.Watch(2, Key, isExclusive: true);
        using var first = Runs.Watch(1, Key, isExclusive: true);

        var isSignalled = Runs.TrySignalFree(Key);
        var signal = await first.NextAsync(Long, blocks, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((isSignalled, signal), Is.EqualTo((true, WakeSignal.Free)));
            Assert.That(second.Take(), Is.EqualTo(WakeSignal.None));
        }
    }

    [TestCase(true, "sync(5)")]
    [TestCase(false, "sync(4)")]
    public void Signals_nothing_to_a_run_of_another_key_or_of_a_lock_for_several(bool isExclusive, string name)
    {
        using var watch = Runs.Watch(1, LockKey.Of(name), isExclusive);

        Assert.That(Runs.TrySignalFree(Key), Is.False);
        Assert.That(watch.Take(), Is.EqualTo(WakeSignal.None));
    }

    [Test]
    public async Task Wakes_the_next_run_if_a_run_has_not_taken_its_signal([Values] bool isWoken, [Values] bool isStopped, CancellationToken stop)
    {
        var watch = Runs.Watch(1, Key, isExclusive: true);
        Assert.That(isWoken ? Runs.Wake(1) : Runs.TrySignalFree(Key), Is.True);

        var signal = isStopped ? await watch.NextAsync(Long, blocks: false, new CancellationToken(canceled: true)) : WakeSignal.None;
        watch.Dispose();
        watch.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(signal, Is.EqualTo(WakeSignal.None), "a run that is to be parked");
            Assert.That(_woken, Is.EqualTo(new[] { Key }));
            Assert.That(Runs.Wake(1), Is.False);
        }
    }

    [Test]
    public async Task Wakes_no_other_run_if_a_run_has_taken_its_signal(CancellationToken stop)
    {
        var watch = Runs.Watch(1, Key, isExclusive: true);
        Runs.TrySignalFree(Key);
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

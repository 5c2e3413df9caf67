using System.Globalization;
using JobLocks.Gate;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.WaitQueue;

/// <summary>What a process asks a job store about runs that it has parked and that have no entry any more.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class RestoredEntriesTests : WaitQueueFixture
{
    private const int Many = 25;

    [Test]
    public async Task Forgets_many_runs_that_other_processes_have_performed_after_one_question_about_ten(CancellationToken stop)
    {
        await using var locks = OpenWithoutStore();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        for (var run = 1; run <= Many; run++) await ParkAsync(locks, run, stop);
        Runs.State = static run => run.Address.Run is "26" ? ParkedRunState.Parked : ParkedRunState.Gone;

        await LoseEntriesAsync();
        await SweepUntilAsync(locks, () => Task.FromResult(!Runs.Questions.IsEmpty), stop);
        await ParkAsync(locks, Many + 1, stop);
        await LoseEntriesAsync();
        await SweepUntilAsync(locks, () => Task.FromResult(Runs.Questions.Count >= 3), stop);

        // The last two are about the run that waits, before and after its entry is written.
        Assert.That(Runs.Questions, Is.EqualTo([10, 1, 1]));
        Assert.That(await RunsInLineAsync(), Is.EqualTo([26]));
    }

    [Test]
    public async Task Restores_all_that_wait_where_one_run_of_the_sample_does(CancellationToken stop)
    {
        await using var locks = OpenWithoutStore();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        for (var run = 1; run <= Many; run++) await ParkAsync(locks, run, stop);
        var places = await PlacesAsync();
        // The first run is in every sample.
        Runs.State = static run => Number(run) is 1 or > 20 ? ParkedRunState.Parked : ParkedRunState.Gone;

        await LoseEntriesAsync();
        await SweepUntilAsync(locks, async () => await LengthAsync() >= 6, stop);

        Assert.That(await RunsInLineAsync(), Is.EqualTo([1, 21, 22, 23, 24, 25]));
        Assert.That(await PlacesAsync(), Is.SubsetOf(places));
    }

    [Test]
    public async Task Asks_about_each_of_ten_runs_and_restores_the_one_that_waits(CancellationToken stop)
    {
        await using var locks = OpenWithoutStore();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        for (var run = 1; run <= 10; run++) await ParkAsync(locks, run, stop);
        Runs.State = static run => Number(run) == 10 ? ParkedRunState.Parked : ParkedRunState.Gone;

        await LoseEntriesAsync();
        await SweepUntilAsync(locks, async () => await LengthAsync() > 0, stop);

        Assert.That(Runs.Questions.First(), Is.EqualTo(10));
        Assert.That(await RunsInLineAsync(), Is.EqualTo([10]));
    }

    [Test]
    public async Task Drops_neither_of_two_runs_of_which_one_may_wait_where_the_other_had_lost_its_entry([Values] bool keepsNewest, CancellationToken stop)
    {
        await using var locks = OpenWithoutStore();
        var held = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await LoseEntriesAsync();

        var second = await EnterAsync(locks, 2, Rule with { KeepWaiting = 1, KeepNewest = keepsNewest }, stop);
        await ((ILockBackend)locks).WaitQueue.MarkParkedAsync(((Admission.Waits)second).Entry, blocks: false, stop);
        await SweepUntilAsync(locks, async () => await LengthAsync() == 2, stop);
        var verdicts = await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE name = $1 AND verdict IS NOT NULL", Name);
        Runs.CanStart = true;
        await held!.DisposeAsync();

        var first = await WokenAsync(locks, stop);
        using (await EnterAsync(locks, first, stop)) Assert.That(first.Address.Run, Is.EqualTo("1"));
        Assert.That((await WokenAsync(locks, stop)).Address.Run, Is.EqualTo("2"));
        Assert.That(verdicts, Is.Zero);
    }

    private async Task<WaitingRun> WokenAsync(ILockBackend locks, CancellationToken stop)
    {
        var woken = Runs.NextAsync(stop);
        await SweepUntilAsync(locks, () => Task.FromResult(woken.IsCompleted), stop);
        return await woken;
    }

    /// <summary>Nothing looks after the entries before the first <see cref="SweepUntilAsync"/>.</summary>
    private AdvisoryLocks OpenWithoutStore()
    {
        // Then nothing but the restoration of entries asks the store.
        Runs.CanStart = false;
        return AdvisoryLocks.Connect(Database, static options => options.SweepInterval = TimeSpan.FromMinutes(1));
    }

    private async Task SweepUntilAsync(ILockBackend locks, Func<Task<bool>> isSo, CancellationToken stop)
    {
        do
        {
            locks.WaitQueue.AddStore(Runs);
            await Task.Delay(TimeSpan.FromMilliseconds(20), stop);
        }
        while (!await isSo());
    }

    private Task<object?> LoseEntriesAsync() => LockTable.AskAsync(Database, "DELETE FROM joblocks.wait_queue WHERE name = $1", Name);

    private async Task<int[]> RunsInLineAsync() =>
        (int[])(await LockTable.AskAsync(Database, "SELECT array_agg(run::int ORDER BY entry) FROM joblocks.wait_queue WHERE name = $1", Name))!;

    private async Task<string[]> PlacesAsync() =>
        (string[])(await LockTable.AskAsync(Database, "SELECT array_agg(format('%s %s', run, entry) ORDER BY entry) FROM joblocks.wait_queue WHERE name = $1", Name))!;

    private static int Number(WaitingRun run) => int.Parse(run.Address.Run, CultureInfo.InvariantCulture);
}

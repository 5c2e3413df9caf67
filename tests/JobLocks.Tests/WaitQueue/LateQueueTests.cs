using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.WaitQueue;

/// <summary>A queue of which a woken run did not come in time, so that no worker seems to take what is in it.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class LateQueueTests : WaitQueueFixture
{
    private AdvisoryLocks? _locks;

    [Test]
    public async Task Lets_other_runs_bypass_the_runs_of_a_late_queue_under_every_name(CancellationToken stop)
    {
        await using var byHand = await OpenWithLateRunAsync(stop);
        await AddRowAsync(run: 2, woken: "NULL");

        await using var taken = await byHand.TryAcquireAsync(Name, stop);

        Assert.That(taken, Is.Not.Null);
    }

    [Test]
    public async Task Lets_no_run_bypass_the_runs_of_another_queue(CancellationToken stop)
    {
        await using var byHand = await OpenWithLateRunAsync(stop);
        await AddRowAsync(run: 2, woken: "NULL", queue: "served");

        await using var taken = await byHand.TryAcquireAsync(Name, stop);

        Assert.That(taken, Is.Null);
    }

    [Test]
    public async Task Tries_the_first_of_its_runs_under_a_name_once_more_beside_others(CancellationToken stop)
    {
        await using var byHand = await OpenWithLateRunAsync(stop);
        var held = await _locks!.TryAcquireAsync(Name, stop);
        await AddRowAsync(run: 2, woken: "NULL");
        await AddRowAsync(run: 3, woken: "NULL", queue: "served");

        await held!.DisposeAsync();

        var woken = new HashSet<string>(StringComparer.Ordinal);
        // A sweep goes on to tell the store of the late one.
        while (woken.Count < 2)
        {
            if (await Runs.NextAsync(stop) is { Address.Run: not "1" and var run }) woken.Add(run);
        }

        Assert.That(woken, Is.EquivalentTo(["2", "3"]));
    }

    [Test]
    public async Task Lets_no_run_bypass_its_runs_once_one_of_them_has_started(CancellationToken stop)
    {
        await using var byHand = await OpenWithLateRunAsync(stop);
        await AddRowAsync(run: 2, woken: "NULL");
        var (waits, first) = (Name, await byHand.TryAcquireAsync(Name, stop));
        Name = $"third({Guid.NewGuid():N})";
        await AddRowAsync(run: 3, woken: "now()");
        (await EnterAsync(_locks!, new WaitingRun(0, Key, Name, AddressOf(3), IsParked: true, IsDeliveryClaimed: true, default), stop)).Dispose();
        await first!.DisposeAsync();

        await using var taken = await byHand.TryAcquireAsync(waits, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken, Is.Null);
            Assert.That(await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE store = $1 AND run = '1'", Runs.Id), Is.EqualTo(1), "the late one keeps its entry");
        }
    }

    /// <summary>A run of Hangfire that starts again does not know its queue: only its row says it.</summary>
    [TestCase("", true), TestCase("", false), TestCase("default", true)]
    public async Task Lets_no_run_bypass_its_runs_once_one_of_them_has_started_and_has_to_wait(string queue, bool again, CancellationToken stop)
    {
        await using var byHand = await OpenWithLateRunAsync(stop, queue);
        await AddRowAsync(run: 2, woken: "NULL", queue);
        var (waits, first) = (Name, await byHand.TryAcquireAsync(Name, stop));
        Name = $"third({Guid.NewGuid():N})";
        if (again) await AddRowAsync(run: 3, woken: "now() - interval '1 hour'", queue);
        await ParkAsync(_locks!, 3, stop);
        await first!.DisposeAsync();

        await using var taken = await byHand.TryAcquireAsync(waits, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken, Is.Null);
            Assert.That(await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE store = $1 AND run = '1'", Runs.Id), Is.EqualTo(1), "the late one keeps its entry");
            Assert.That(await LengthAsync(), Is.EqualTo(1), "the one that waits again has its place");
        }
    }

    /// <summary>A run of a queue, under another name, whose turn came an hour ago.</summary>
    private async Task<AdvisoryLocks> OpenWithLateRunAsync(CancellationToken stop, string queue = "")
    {
        _locks = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var byHand = AdvisoryLocks.Connect(Database);
        await EnsureSessionAsync(byHand, stop);
        await ShownAsync(stop);
        await AddRowAsync(run: 1, woken: "now() - interval '1 hour'", queue);
        Name = $"another({Guid.NewGuid():N})";
        return byHand;
    }

    private async Task ShownAsync(CancellationToken stop)
    {
        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM pg_locks WHERE classid = 1246524276 AND objid::int = hashtext($1)", Runs.Id) is 0L) await Task.Delay(20, stop);
    }

    private Task<object?> AddRowAsync(int run, string woken, string queue = "") => LockTable.AskAsync(
        Database,
        $"INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked, claimed, woken) VALUES ($1, $2, 0, 1, $3, $4, $5, true, {woken} IS NOT NULL, {woken})",
        Key.Value,
        Name,
        Runs.Id,
        $"{run}",
        queue);
}

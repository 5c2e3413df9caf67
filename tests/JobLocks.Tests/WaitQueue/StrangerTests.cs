using System.Globalization;
using JobLocks.Gate;
using JobLocks.Hosting;
using JobLocks.Keys;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Npgsql;

namespace JobLocks.Tests.WaitQueue;

/// <summary>A role that may only connect holds the internal locks of the wait queue: the runs go on.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class StrangerTests : WaitQueueFixture
{
    private const string OneLeads =
        "SELECT count(*) = 1 FROM pg_locks WHERE classid = 1246524279 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

    private static readonly WaitRules KeepsOne = new() { Keep = 1 };

    private Stranger _stranger = null!;

    [SetUp]
    public async Task Connect() => _stranger = await Stranger.ConnectAsync(Database, CancellationToken.None);

    [TearDown]
    public async Task Disconnect() => await _stranger.DisposeAsync();

    [Test]
    public async Task Wakes_a_run_whose_signal_is_lost_where_the_sweep_key_was_taken_before_the_start(CancellationToken stop)
    {
        await TakeSweepKeyAsync(stop);
        await using var holder = await HoldAsync(stop);
        var locks = Open();
        await ParkAsync(locks, 1, stop);

        await holder.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
    }

    [Test]
    public async Task Wakes_it_where_several_sessions_pass_the_sweep_key_on_to_each_other(CancellationToken stop)
    {
        var number = SweepLeadership.LockNumber(Runs.Id, 0).ToString(CultureInfo.InvariantCulture);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        await TakeSweepKeyAsync(stop);
        await using var second = await Raw.OpenAsync(Database, stop);
        await using var third = await Raw.OpenAsync(Database, stop);
        var rotation = new[] { _stranger.Session, second, third }.Select(session => RotateAsync(session, InternalKeys.Sweep, number, over.Token)).ToList();
        await using var holder = await HoldAsync(stop);
        var locks = Open();
        await ParkAsync(locks, 1, stop);

        await holder.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        await over.CancelAsync();
        // On a slow machine these locks may have acquired the key in between.
        await locks.DisposeAsync();
        await Task.WhenAll(rotation);
    }

    [Test]
    public async Task Wakes_it_where_a_role_that_only_looks_has_the_key_and_calls_itself_as_a_process_of_JobLocks_does(CancellationToken stop)
    {
        await using (var first = AdvisoryLocks.Connect(Database)) await first.EnsureSessionAsync(stop);
        await using var viewer = await Stranger.ConnectAsync(Database, stop, "billing@web-3:812");
        await LockTable.AskAsync(Database, $"GRANT USAGE ON SCHEMA joblocks TO {viewer.Role}; GRANT SELECT ON ALL TABLES IN SCHEMA joblocks TO {viewer.Role}; GRANT UPDATE (release_requested_by) ON joblocks.holders TO {viewer.Role}");
        await viewer.TakeAsync(InternalKeys.Sweep, SweepLeadership.LockNumber(Runs.Id, 0).ToString(CultureInfo.InvariantCulture), stop);
        await using var holder = await HoldAsync(stop);
        var locks = Open();
        await ParkAsync(locks, 1, stop);

        await holder.DisposeAsync();
        var woken = await Runs.NextAsync(stop);
        var overview = await locks.Inspector.GetOverviewAsync(stop);

        Assert.That(woken.Address.Run, Is.EqualTo("1"));
        Assert.That(overview.InternalLockHolders.Single().Backend, Is.EqualTo(viewer.Backend));
    }

    [Test]
    public async Task Wakes_it_where_the_key_is_taken_when_the_session_of_the_sweeping_process_ends(CancellationToken stop)
    {
        var locks = Open();
        await EnsureSessionAsync(locks, stop);
        await UntilLedByAsync(0, stop);
        var queues = TakeSweepKeyAsync(stop);
        await UntilAsync("SELECT count(*) = 1 FROM pg_locks WHERE classid = 1246524279 AND NOT granted", stop);
        await LockTable.AskAsync(Database, "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1246524279 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
        await queues;
        await using var holder = await HoldAsync(stop);
        await ParkAsync(locks, 1, stop);

        await holder.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
    }

    [Test]
    public async Task Goes_back_to_the_first_sweep_key_when_the_foreign_program_has_released_it(CancellationToken stop)
    {
        await TakeSweepKeyAsync(stop);
        var (first, second) = (Open(), Open());
        await UntilLedByAsync(1, stop);

        await _stranger.LetGoAsync(stop);

        await UntilLedByAsync(0, stop);
        while (new[] { first, second }.Any(static locks => locks.FirstLimitation is not null)) stop.ThrowIfCancellationRequested();
        await UntilAsync(OneLeads, stop);
        Assert.That(await LockTable.AskAsync(Database, OneLeads), Is.True);
    }

    [Test]
    public async Task Shows_a_store_as_served_by_another_lock(CancellationToken stop)
    {
        await _stranger.TakeAsync(InternalKeys.StorePresence, $"hashtext('{Runs.Id}')", stop);
        var locks = Open();
        await using var byHand = AdvisoryLocks.Connect(Database);
        var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);

        await holding!.DisposeAsync();

        await using var refused = await byHand.TryAcquireAsync(Name, stop);
        Assert.That(refused, Is.Null);
    }

    [Test]
    public async Task Takes_no_store_for_served_whose_lock_another_program_holds_alone(CancellationToken stop)
    {
        var application = Open();
        await using var byHand = AdvisoryLocks.Connect(Database);
        var holding = await application.TryAcquireAsync(Name, stop);
        await ParkAsync(application, 1, stop);
        await holding!.DisposeAsync();
        await application.DisposeAsync();
        await _stranger.TakeAsync(InternalKeys.StorePresence, $"hashtext('{Runs.Id}')", stop);

        await using var acquired = await byHand.AcquireAsync(Name, TimeSpan.FromSeconds(10), stop);

        Assert.That(acquired.IsReleased, Is.False);
    }

    [Test]
    public async Task Counts_the_runs_of_a_name_without_the_lock_that_a_stranger_holds(CancellationToken stop)
    {
        await _stranger.TakeAsync(InternalKeys.QueueCount, $"({Key} & 2147483647)::int", stop);
        ILockBackend locks = Open();
        await EnsureSessionAsync((AdvisoryLocks)locks, stop);
        while (((AdvisoryLocks)locks).FirstLimitation is null) stop.ThrowIfCancellationRequested();

        var begun = TimeProvider.System.GetTimestamp();
        var first = await locks.WaitQueue.EnqueueAsync(AddressOf(1), new(Name, Key), KeepsOne, blocks: false, stop);
        var second = await locks.WaitQueue.EnqueueAsync(AddressOf(2), new(Name, Key), KeepsOne, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(TimeProvider.System.GetElapsedTime(begun), Is.LessThan(TimeSpan.FromSeconds(3)));
            Assert.That(first.Entry, Is.Not.Null);
            Assert.That(second.Entry, Is.Null);
        }
    }

    [TestCase(InternalKeys.WaitingWriter, "a writer of that key can be bypassed by readers")]
    [TestCase(InternalKeys.StorePresence, "that job store seems to be served")]
    public async Task Goes_on_and_names_a_stranger_that_shares_an_internal_lock(int keyClass, string effect, CancellationToken stop)
    {
        using var log = new LogLines();
        await _stranger.ShareAsync(keyClass, keyClass == InternalKeys.StorePresence ? $"hashtext('{Runs.Id}')" : $"({Key} & 2147483647)::int", stop);
        var locks = Open(log);
        await EnsureSessionAsync(locks, stop);

        await log.WhenSaidAsync("needs for its own work", stop);
        await EntersAfterAWaitAsync(locks, stop);
        var named = (await locks.Inspector.GetOverviewAsync(stop)).InternalLockHolders.Single();
        var health = await HealthAsync(locks, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((named.Class, named.Backend, named.Role, named.IsShared), Is.EqualTo((keyClass, _stranger.Backend, _stranger.Role, true)));
            Assert.That(named.ToString(), Does.Contain(effect).And.EndsWith(named.Remedy));
            Assert.That(log.Text, Does.Contain($"needs for its own work. {named}"));
            Assert.That(health.Status, Is.EqualTo(HealthStatus.Degraded));
            Assert.That(health.Description, Does.Contain(named.ToString()));
        }
    }

    [Test]
    public async Task Shows_a_store_as_served_by_a_random_lock_where_a_stranger_holds_all_others(CancellationToken stop)
    {
        using var log = new LogLines();
        int[] classes = [InternalKeys.StorePresence, .. Enumerable.Range(InternalKeys.FirstStorePresence, InternalKeys.LastStorePresence - InternalKeys.FirstStorePresence + 1)];
        foreach (var keyClass in classes) await _stranger.TakeAsync(keyClass, $"hashtext('{Runs.Id}')", stop);
        var locks = Open(log);
        await EnsureSessionAsync(locks, stop);

        while ((await locks.Inspector.GetOverviewAsync(stop)).InternalLockHolders.Count < classes.Length) stop.ThrowIfCancellationRequested();
        await EntersAfterAWaitAsync(locks, stop);
        var named = (await locks.Inspector.GetOverviewAsync(stop)).InternalLockHolders;
        var health = await HealthAsync(locks, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(named.Select(static one => one.Class), Is.EquivalentTo(classes));
            Assert.That(named.Select(static one => one.Backend), Is.All.EqualTo(_stranger.Backend));
            Assert.That(health.Status, Is.EqualTo(HealthStatus.Degraded));
            foreach (var one in named) Assert.That(log.Text, Does.Contain(one.ToString()));
            Assert.That(log.Text, Does.Not.Contain("cannot be shown as served"));
        }
    }

    [Test]
    public async Task Names_a_stranger_that_holds_a_random_lock_of_a_store(CancellationToken stop)
    {
        using var log = new LogLines();
        await _stranger.TakeAsync(InternalKeys.LastRandomStorePresence, "4", stop);
        await EnsureSessionAsync(Open(log), stop);

        await log.WhenSaidAsync($"holds the internal lock ({InternalKeys.LastRandomStorePresence}, 4): that job store is shown as served by another internal lock", stop);
    }

    /// <summary>A run waits for the lock of a program in another language, is woken when that ends, and has its lock.</summary>
    private async Task EntersAfterAWaitAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        var holder = await HoldAsync(stop);
        await ParkAsync(locks, 1, stop);
        await holder.DisposeAsync();
        (await EnterAsync(locks, await Runs.NextAsync(stop), stop)).Dispose();
    }

    private static Task<HealthCheckResult> HealthAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        var check = new JobLocksHealthCheck(locks);
        return check.CheckHealthAsync(new() { Registration = new("locks", check, null, null) }, stop);
    }

    /// <summary>Holds a lock for a second again and again. A session that waits for it gets it in the moment in which another one releases it.</summary>
    private static async Task RotateAsync(NpgsqlConnection session, int keyClass, string number, CancellationToken over)
    {
        while (!over.IsCancellationRequested)
        {
            await session.AskAsync($"SELECT pg_sleep(1), pg_advisory_unlock_all()", CancellationToken.None);
            await session.AskAsync($"SELECT pg_advisory_lock({keyClass}, {number})", CancellationToken.None);
        }

        await session.AskAsync("SELECT pg_advisory_unlock_all()", CancellationToken.None);
    }

    private Task TakeSweepKeyAsync(CancellationToken stop) => _stranger.TakeAsync(InternalKeys.Sweep, SweepLeadership.LockNumber(Runs.Id, 0).ToString(CultureInfo.InvariantCulture), stop);

    /// <summary>A program in another language, whose end sends no signal.</summary>
    private async Task<NpgsqlConnection> HoldAsync(CancellationToken stop)
    {
        var holder = await Raw.OpenAsync(Database, stop);
        await holder.AskAsync($"SELECT pg_advisory_lock({Key})", stop);
        return holder;
    }

    private Task UntilLedByAsync(int nth, CancellationToken stop) => UntilAsync(
        $"""
        SELECT count(*) = 1
        FROM   pg_locks
        WHERE  classid = {InternalKeys.Sweep}
        AND    objid::int = {SweepLeadership.LockNumber(Runs.Id, nth)}
        AND    granted
        AND    pid <> {_stranger.Backend}
        """,
        stop);

    private async Task UntilAsync(string sql, CancellationToken stop)
    {
        while (await LockTable.AskAsync(Database, sql) is not true) stop.ThrowIfCancellationRequested();
    }
}

using System.Diagnostics;
using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Faults;

/// <summary>What is slow, but works: nobody may be told that a lock is lost which is not. The last tests take all threads of the pool, so they run alone.</summary>
[TestFixture, CancelAfter(120_000), NonParallelizable]
public sealed class LatencyTests
{
    private static readonly TimeSpan LostAfter = TimeSpan.FromSeconds(3);

    private readonly string _me = Sessions.NewName("latency");
    private string _database = "";

    [OneTimeSetUp]
    public async Task CreateDatabase() => _database = await AssemblySetup.Server.CreateDatabaseAsync("latency");

    [TearDown]
    public async Task Leaves_no_lock_behind() => Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);

    [Test]
    public async Task Keeps_its_locks_on_a_network_that_takes_300_ms_each_way(CancellationToken stop)
    {
        await using var network = await FaultyNetwork.StartAsync(_database);
        await using var locks = Locks(network.ConnectionString);
        await using var held = await locks.TryAcquireAsync("slow", stop);

        network.Delay(TimeSpan.FromMilliseconds(300));
        var asked = Stopwatch.GetTimestamp();
        await using var next = await locks.TryAcquireAsync("slow-too", stop);
        TestContext.Out.WriteLine($"Taken in {Stopwatch.GetElapsedTime(asked).TotalMilliseconds:0} ms");
        await Sessions.WhenHeardAfterAsync(_database, _me, 3 * LostAfter, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held!.Lost.IsCancellationRequested, Is.False);
            Assert.That(next?.Lost.IsCancellationRequested, Is.False);
            Assert.That(await Sessions.IsHeldAsync(_database, "slow"), Is.True);
            Assert.That(await Sessions.IsHeldAsync(_database, "slow-too"), Is.True);
        }

        network.Heal();
    }

    [Test]
    public async Task Names_the_run_of_this_process_whose_take_was_still_on_its_way(CancellationToken stop)
    {
        await using var network = await FaultyNetwork.StartAsync(_database);
        await using var locks = Locks(network.ConnectionString);
        await locks.EnsureSessionAsync(stop);
        var request = new LockRequest("on its way", LockKey.Of("on its way"));

        network.Hold();
        var first = locks.AcquireAsync("on its way", TimeSpan.FromSeconds(30), stop);
        var second = await ((ILockBackend)locks).TryAcquireAllAsync([request], new() { Run = "another run" }, null, blocks: false, stop);
        var holder = ((ILockBackend)locks).FindHolderAsync(request, blocks: false, stop);
        network.Heal();

        await using var held = await first;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(second.Refused, Is.EqualTo(request));
            Assert.That((await holder)?.Run, Is.EqualTo("code that acquired it by hand"));
        }
    }

    [Test]
    public async Task Keeps_its_locks_while_many_ask_for_their_holders_and_takes_others_in_between(CancellationToken stop)
    {
        const int Questions = 40;
        await using var others = AdvisoryLocks.Connect(_database);
        await using var theirs = await others.TryAcquireAsync("theirs", stop);
        await using var network = await FaultyNetwork.StartAsync(_database);
        await using var locks = Locks(network.ConnectionString);
        await using var held = await locks.TryAcquireAsync("ours", stop);
        network.Delay(TimeSpan.FromMilliseconds(75));

        // One after the other, they take twice as long as the server may be silent.
        var holders = Enumerable.Range(0, Questions).Select(_ => ((ILockBackend)locks).FindHolderAsync(new("theirs", LockKey.Of("theirs")), blocks: false, stop).AsTask()).ToList();
        await using var next = await locks.TryAcquireAsync("in between", stop);
        var unanswered = holders.Count(static holder => !holder.IsCompleted);
        var found = await Task.WhenAll(holders);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(found.Select(static holder => holder?.Backend), Is.All.Not.Null);
            Assert.That(unanswered, Is.GreaterThan(Questions / 2));
            Assert.That(held!.Lost.IsCancellationRequested, Is.False);
            Assert.That(next?.Lost.IsCancellationRequested, Is.False);
        }

        network.Heal();
    }

    [Test]
    public async Task Opens_its_session_on_a_network_that_takes_300_ms_each_way(CancellationToken stop)
    {
        await using var network = await FaultyNetwork.StartAsync(_database);
        network.Delay(TimeSpan.FromMilliseconds(300));
        await using var locks = Locks(network.ConnectionString);

        var asked = Stopwatch.GetTimestamp();
        await using var held = await locks.TryAcquireAsync("slow-start", stop);
        TestContext.Out.WriteLine($"Opened and taken in {Stopwatch.GetElapsedTime(asked).TotalMilliseconds:0} ms");
        await Sessions.WhenHeardAfterAsync(_database, _me, 2 * LostAfter, stop);

        Assert.That(held?.Lost.IsCancellationRequested, Is.False);
        network.Heal();
    }

    /// <summary>Without async: a continuation would find no thread.</summary>
    [Test]
    public void Keeps_its_locks_while_users_jobs_block_all_threads_of_the_pool()
    {
        using var locks = Locks(_database);
        using var held = locks.TryAcquire("starved");
        using var mayGoOn = new ManualResetEventSlim();
        using var connection = new Npgsql.NpgsqlConnection(_database + ";Pooling=false");
        connection.Open();

        using var left = BlockPool(mayGoOn);
        try
        {
            var waited = Stopwatch.StartNew();
            while (waited.Elapsed < 2 * LostAfter) Ask(connection, "SELECT pg_sleep(0.2)");
            var queued = ThreadPool.PendingWorkItemCount;
            using var next = locks.TryAcquire("starved-too");

            using (Assert.EnterMultipleScope())
            {
                Assert.That(queued, Is.Positive, "the pool found threads for all: it was not busy");
                Assert.That(held!.IsLost, Is.False);
                Assert.That(held.Lost.IsCancellationRequested, Is.False);
                Assert.That(next, Is.Not.Null);
                Assert.That(Ask(connection, $"SELECT pg_try_advisory_lock({held.Key.Value})"), Is.False);
            }
        }
        finally
        {
            mayGoOn.Set();
            left.Wait();
        }
    }

    /// <summary>Without async: a continuation would find no thread.</summary>
    [Test]
    public void Tells_of_a_loss_while_users_jobs_block_all_threads_of_the_pool()
    {
        using var locks = Locks(_database);
        using var held = locks.TryAcquire("starved loss");
        using var throws = locks.TryAcquire("starved loss of one who throws");
        using var mayGoOn = new ManualResetEventSlim();
        using var told = new ManualResetEventSlim();
        using var connection = new Npgsql.NpgsqlConnection(_database + ";Pooling=false");
        connection.Open();
        throws!.Lost.Register(static () => throw new InvalidOperationException("A user's own trouble."));
        held!.Lost.Register(told.Set);

        using var left = BlockPool(mayGoOn);
        try
        {
            // The pool adds threads slowly: now it has none left.
            Ask(connection, "SELECT pg_sleep(1)");
            var queued = ThreadPool.PendingWorkItemCount;
            Ask(connection, $"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{_me}'");

            using (Assert.EnterMultipleScope())
            {
                Assert.That(told.Wait(LostAfter), Is.True);
                Assert.That(queued, Is.Positive, "the pool found threads for all: it was not busy");
                Assert.That(throws.Lost.WaitHandle.WaitOne(LostAfter), Is.True);
            }
        }
        finally
        {
            mayGoOn.Set();
            left.Wait();
        }
    }

    /// <summary>With more than the pool would add threads for in that time.</summary>
    private static CountdownEvent BlockPool(ManualResetEventSlim mayGoOn)
    {
        var left = new CountdownEvent(500);
        for (var job = 0; job < left.InitialCount; job++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                _ =>
                {
                    mayGoOn.Wait();
                    left.Signal();
                },
                null);
        }

        return left;
    }

    private static object? Ask(Npgsql.NpgsqlConnection connection, string sql)
    {
        using var command = new Npgsql.NpgsqlCommand(sql, connection);
        return command.ExecuteScalar();
    }

    private AdvisoryLocks Locks(string connectionString) => AdvisoryLocks.Connect(connectionString, options =>
    {
        options.LostAfter = LostAfter;
        options.HeartbeatInterval = TimeSpan.FromSeconds(0.5);
        options.ApplicationName = _me;
    });
}

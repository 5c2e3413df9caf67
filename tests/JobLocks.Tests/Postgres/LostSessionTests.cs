using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Postgres;

/// <summary>What happens to a lock when its connection or its server goes away. Has a server of its own to break.</summary>
[TestFixture]
public sealed class LostSessionTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private PostgresServer _server = null!;
    private AdvisoryLocks _locks = null!;

    /// <summary>For the questions of a test that limits the role it works under.</summary>
    private string Unlimited => _server.ConnectionString + ";Options=-c idle_session_timeout=0";

    [OneTimeSetUp]
    public async Task StartServer() => _server = await PostgresServer.StartOwnAsync();

    [OneTimeTearDown]
    public async Task StopServer() => await _server.DisposeAsync();

    [SetUp]
    public void Connect() => _locks = AdvisoryLocks.Connect(_server.ConnectionString, static options => options.HeartbeatInterval = TimeSpan.FromMilliseconds(100));

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        await _locks.DisposeAsync();

        Assert.That(await LockTable.CountLeftAsync(_server.ConnectionString), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Tells_the_holder_that_its_session_was_ended(CancellationToken stop)
    {
        var held = await _locks.TryAcquireAsync("ended", stop);

        await EndSessionsAsync();

        await WhenCancelled(held!.Lost).WaitAsync(Patience, stop);
        await held.DisposeAsync();
    }

    [Test, CancelAfter(60_000)]
    public async Task Grants_the_name_again_in_a_new_session_once_the_lost_handle_is_disposed(CancellationToken stop)
    {
        var lost = await _locks.TryAcquireAsync("again", stop);
        await EndSessionsAsync();
        await WhenCancelled(lost!.Lost).WaitAsync(Patience, stop);
        Assert.That(await _locks.TryAcquireAsync("again", stop), Is.Null, "the loser still works");

        await lost.DisposeAsync();
        await using var next = await _locks.TryAcquireAsync("again", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(next, Is.Not.Null);
            Assert.That(next!.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Does_not_release_the_lock_of_a_successor_when_a_lost_handle_is_disposed(CancellationToken stop)
    {
        await using var others = AdvisoryLocks.Connect(_server.ConnectionString);
        var lost = await _locks.TryAcquireAsync("successor", stop);
        await EndSessionsAsync();
        await WhenCancelled(lost!.Lost).WaitAsync(Patience, stop);
        await using var successor = await others.AcquireAsync("successor", Patience, stop);

        await lost.DisposeAsync();

        Assert.That(await _locks.TryAcquireAsync("successor", stop), Is.Null);
    }

    [TestCase(false), TestCase(true), CancelAfter(60_000)]
    public async Task Tells_the_holder_that_the_server_was_restarted_and_goes_on_after_it(bool immediate, CancellationToken stop)
    {
        var held = await _locks.TryAcquireAsync("restart", stop);

        await _server.RestartAsync(immediate, stop);

        await WhenCancelled(held!.Lost).WaitAsync(Patience, stop);
        await held.DisposeAsync();
        await using var next = await _locks.TryAcquireOnceBackAsync("restart", stop);
        Assert.That(next, Is.Not.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Grants_nothing_while_the_server_is_away(CancellationToken stop)
    {
        await _server.StopAsync(immediate: true, stop);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => _locks.TryAcquireAsync("away", stop));

        await _server.StartAgainAsync(stop);
        await using var handle = await _locks.TryAcquireOnceBackAsync("away", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.StartWith("PostgreSQL at 127.0.0.1:").And.Contain("cannot be asked for locks"));
            Assert.That(handle, Is.Not.Null);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Survives_the_limits_that_a_role_carries(CancellationToken stop)
    {
        await LockTable.AskAsync(Unlimited, "ALTER ROLE postgres SET idle_session_timeout = '50ms'");
        try
        {
            await using var locks = AdvisoryLocks.Connect(_server.ConnectionString, static options => options.HeartbeatInterval = TimeSpan.FromSeconds(10));
            await using var held = await locks.TryAcquireAsync("idle", stop);

            // A session of the same role without our settings is ended meanwhile: the limit works, and we outlive it.
            await using var other = new Npgsql.NpgsqlConnection(_server.ConnectionString + ";Pooling=false");
            await other.OpenAsync(stop);
            await WhenEnded(other.ProcessID).WaitAsync(Patience, stop);

            Assert.That(await LockTable.AskAsync(Unlimited, "SELECT pg_try_advisory_lock($1)", LockKey.Of("idle").Value), Is.False);
        }
        finally
        {
            await LockTable.AskAsync(Unlimited, "ALTER ROLE postgres RESET idle_session_timeout");
        }
    }

    private Task<object?> EndSessionsAsync() =>
        LockTable.AskAsync(_server.ConnectionString, "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'");

    private async Task WhenEnded(int backend)
    {
        while (await LockTable.AskAsync(Unlimited, "SELECT 1 FROM pg_stat_activity WHERE pid = $1", backend) is not null) await Task.Delay(DatabaseState.LookAgainAfter);
    }

    private static async Task WhenCancelled(CancellationToken token)
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = token.Register(cancelled.SetResult);
        await cancelled.Task;
    }
}

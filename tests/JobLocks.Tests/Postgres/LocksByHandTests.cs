using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Postgres;

[TestFixture]
public sealed class LocksByHandTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private string _database = "";
    private AdvisoryLocks _locks = null!;
    private AdvisoryLocks _others = null!;
    private string _name = "";

    [OneTimeSetUp]
    public async Task CreateDatabase() => _database = await AssemblySetup.Server.CreateDatabaseAsync("by_hand");

    [SetUp]
    public void Connect()
    {
        _locks = AdvisoryLocks.Connect(_database);
        _others = AdvisoryLocks.Connect(_database);
        _name = $"sync({Guid.NewGuid():N})";
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        await _locks.DisposeAsync();
        await _others.DisposeAsync();

        Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Refuses_a_name_that_this_process_holds(CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync(_name, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held, Is.Not.Null);
            Assert.That(await _locks.TryAcquireAsync(_name, stop), Is.Null);
            Assert.That(await _locks.TryAcquireAsync(LockKey.Of(_name), stop), Is.Null);
            Assert.That(_locks.TryAcquire(_name, stop), Is.Null);
            Assert.That(await LockTable.CountUntilAsync(_database, 1), Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Refuses_a_name_that_another_session_holds(CancellationToken stop)
    {
        await using var held = await _others.TryAcquireAsync(_name, stop);

        Assert.That(await _locks.TryAcquireAsync(_name, stop), Is.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Grants_other_names_meanwhile_and_tells_capitals_apart(CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync(_name, stop);
        await using var other = await _locks.TryAcquireAsync(_name.ToUpperInvariant(), stop);

        Assert.That(other, Is.Not.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_free_again_after_release(CancellationToken stop)
    {
        var held = await _locks.TryAcquireAsync(_name, stop);
        await held!.DisposeAsync();
        await held.DisposeAsync();
        held.Dispose();

        await using var next = await _others.TryAcquireAsync(_name, stop);
        Assert.That(next, Is.Not.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Does_not_unlock_what_it_was_not_granted(CancellationToken stop)
    {
        await using var held = await _others.TryAcquireAsync(_name, stop);
        await _locks.TryAcquireAsync(_name, stop);
        await _others.TryAcquireAsync(_name, stop);

        Assert.That(await _locks.TryAcquireAsync(_name, stop), Is.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Locks_synchronously_too(CancellationToken stop)
    {
        using (var held = _locks.TryAcquire(_name, stop)) Assert.That(held!.Name, Is.EqualTo(_name));
        using (var held = _locks.Acquire(_name, Patience, stop)) Assert.That(held.Key, Is.EqualTo(LockKey.Of(_name)));
        using (var held = _locks.TryAcquire(new LockKey(4), stop)) Assert.That(held!.Name, Is.Null);
        using (var held = _locks.Acquire(new LockKey(4), Patience, stop)) Assert.That(held.Key.Value, Is.EqualTo(4));

        await using var next = await _others.TryAcquireAsync(_name, stop);
        Assert.That(next, Is.Not.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Waits_until_the_holder_releases_the_lock(CancellationToken stop)
    {
        var held = await _others.TryAcquireAsync(_name, stop);
        var waiting = _locks.AcquireAsync(_name, Patience, stop);
        Assert.That(await _locks.TryAcquireAsync(_name, stop), Is.Null);

        await held!.DisposeAsync();

        await using var handle = await waiting.WaitAsync(Patience, stop);
        Assert.That(handle.Name, Is.EqualTo(_name));
    }

    [Test, CancelAfter(60_000)]
    public async Task Names_the_holder_when_the_wait_is_over(CancellationToken stop)
    {
        await using var held = await _others.TryAcquireAsync(_name, stop);

        var error = await Assert.ThrowsAsync<TimeoutException>(() => _locks.AcquireAsync(_name, TimeSpan.FromMilliseconds(150), stop));

        Assert.That(error!.Message, Does.StartWith($"{_name} was not free within 0.15 s. It is held by").And.Contain("backend").And.Contain("connected since"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Names_a_holder_in_its_own_process_and_since_when(CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync(_name, stop);

        var error = await Assert.ThrowsAsync<TimeoutException>(() => _locks.AcquireAsync(_name, TimeSpan.Zero, stop));

        Assert.That(error!.Message, Does.Contain("held by code that acquired it by hand on").And.Contain($":{Environment.ProcessId} since 20"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Gives_up_waiting_when_told_and_holds_nothing(CancellationToken stop)
    {
        await using var held = await _others.TryAcquireAsync(_name, stop);
        using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var waiting = _locks.AcquireAsync(_name, Timeout.InfiniteTimeSpan, impatient.Token);

        await impatient.CancelAsync();

        Assert.That(async () => await waiting.WaitAsync(Patience, stop), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(await LockTable.CountUntilAsync(_database, 1), Is.EqualTo(1));
    }

    [Test]
    public async Task Refuses_bad_arguments_at_once()
    {
        using (Assert.EnterMultipleScope())
        {
            await Assert.ThrowsAsync<ArgumentException>(() => _locks.TryAcquireAsync(" "));
            await Assert.ThrowsAsync<ArgumentException>(() => _locks.TryAcquireAsync("a\uD83D"));
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => _locks.AcquireAsync("a", TimeSpan.FromSeconds(-5)));
            await Assert.ThrowsAsync<OperationCanceledException>(() => _locks.TryAcquireAsync("a", new CancellationToken(canceled: true)));
            Assert.Throws<ArgumentException>(static () => AdvisoryLocks.Connect("Hosst=nowhere"));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_refused_by_a_lock_that_plain_SQL_holds_under_the_number_of_Python(CancellationToken stop)
    {
        await using var psql = new NpgsqlConnection(_database);
        await psql.OpenAsync(stop);
        await using var take = new NpgsqlCommand("SELECT pg_try_advisory_lock(-672582401413756830)", psql);
        Assert.That(await take.ExecuteScalarAsync(stop), Is.True);

        Assert.That(await _locks.TryAcquireAsync("sync(4)", stop), Is.Null);

        await using var release = new NpgsqlCommand("SELECT pg_advisory_unlock(-672582401413756830)", psql);
        await release.ExecuteScalarAsync(stop);
    }

    [Test, CancelAfter(60_000)]
    public async Task Refuses_plain_SQL_that_asks_for_the_number_of_Python(CancellationToken stop)
    {
        await using var held = await _locks.AcquireAsync("sync(4)", Patience, stop);

        Assert.That(await LockTable.AskAsync(_database, "SELECT pg_try_advisory_lock(-672582401413756830)"), Is.False);
    }

    [Test, CancelAfter(60_000)]
    public async Task Puts_the_scope_before_a_name_but_not_before_a_key(CancellationToken stop)
    {
        await using var billing = AdvisoryLocks.Connect(_database, static options => options.Scope = "billing");
        await using var scoped = await billing.TryAcquireAsync(_name, stop);
        await using var unscoped = await _locks.TryAcquireAsync(_name, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(scoped!.Name, Is.EqualTo($"billing:{_name}"));
            Assert.That(unscoped, Is.Not.Null);
            Assert.That(await _locks.TryAcquireAsync($"billing:{_name}", stop), Is.Null);
            Assert.That(await _others.TryAcquireAsync(LockKey.Of($"billing:{_name}"), stop), Is.Null);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Lets_one_in_at_a_time_however_many_ask(CancellationToken stop)
    {
        var (inside, most, entered) = (0, 0, 0);

        await Parallel.ForAsync(0, 100, stop, async (i, token) =>
        {
            await using var handle = await (i % 2 == 0 ? _locks : _others).AcquireAsync(_name, Patience, token);
            most = Math.Max(most, Interlocked.Increment(ref inside));
            entered++;
            await Task.Yield();
            Interlocked.Decrement(ref inside);
        });

        using (Assert.EnterMultipleScope())
        {
            Assert.That(most, Is.EqualTo(1));
            Assert.That(entered, Is.EqualTo(100));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Holds_all_locks_on_one_connection_that_never_was_in_a_pool(CancellationToken stop)
    {
        var handles = new List<JobLockHandle>();
        for (var i = 0; i < 200; i++) handles.Add(await _locks.AcquireAsync($"{_name}{i}", Patience, stop));

        var sessions = await LockTable.AskAsync(_database, "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
        Assert.That(sessions, Is.EqualTo(1));

        foreach (var handle in handles) await handle.DisposeAsync();
        Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Cancels_the_handles_when_the_locks_are_disposed(CancellationToken stop)
    {
        var held = await _locks.TryAcquireAsync(_name, stop);

        await _locks.DisposeAsync();

        await WhenCancelled(held!.Lost).WaitAsync(Patience, stop);
        await held.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => _locks.TryAcquireAsync(_name, stop));
    }

    [Test, CancelAfter(60_000)]
    public async Task Does_not_cancel_a_handle_that_was_released(CancellationToken stop)
    {
        var held = await _locks.TryAcquireAsync(_name, stop);
        await held!.DisposeAsync();

        await _locks.DisposeAsync();

        Assert.That(held.Lost.IsCancellationRequested, Is.False);
    }

    [Test, CancelAfter(60_000)]
    public async Task Uses_the_password_and_the_database_of_a_data_source_but_not_its_pool(CancellationToken stop)
    {
        await using var source = NpgsqlDataSource.Create(_database);
        await using (var locks = AdvisoryLocks.Connect(source))
        {
            using var held = await locks.TryAcquireAsync(_name, stop);
            Assert.That(await _others.TryAcquireAsync(_name, stop), Is.Null);
        }

        await using var connection = await source.OpenConnectionAsync(stop);
        Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);
    }

    private static async Task WhenCancelled(CancellationToken token)
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = token.Register(cancelled.SetResult);
        await cancelled.Task;
    }
}

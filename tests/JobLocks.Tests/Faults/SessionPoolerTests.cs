using JobLocks.Gate;
using JobLocks.Postgres.Session;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>Behind a pooler in session mode, which takes no start-up options from its clients.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SessionPoolerTests
{
    private readonly RunsOfTest _store = new();
    private PgBouncer _bouncer = null!;
    private AdvisoryLocks _locks = null!;

    [OneTimeSetUp]
    public async Task StartPooler()
    {
        if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
        _bouncer = await PgBouncer.StartAsync(await AssemblySetup.Server.CreateDatabaseAsync("session-pooler"), PoolMode.Session);
        _locks = AdvisoryLocks.Connect(_bouncer.ConnectionString);
        ((ILockBackend)_locks).WaitQueue.AddStore(_store);
    }

    [OneTimeTearDown]
    public async Task StopPooler()
    {
        if (_locks is not null) await _locks.DisposeAsync();
        if (_bouncer is not null) await _bouncer.DisposeAsync();
    }

    [TestCase(true), TestCase(false)]
    public async Task Waits_in_the_queue_and_is_woken(bool blocks, CancellationToken stop)
    {
        ILockBackend keeper = _locks;
        var held = await _locks.TryAcquireAsync("pooled line", stop);
        var address = new RunAddress(_store.Id, blocks ? "blocks" : "awaits", "");

        var standing = await keeper.WaitQueue.EnqueueAsync(address, new("pooled line", LockKey.Of("pooled line")), default, blocks, stop);
        await keeper.WaitQueue.MarkParkedAsync(standing.Entry!, blocks, stop);
        await held!.DisposeAsync();

        Assert.That((await _store.NextAsync(stop)).Address, Is.EqualTo(address));
        await keeper.WaitQueue.DequeueAsync(standing.Entry!, blocks, stop);
    }

    [Test]
    public async Task Sees_who_holds_what(CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync("pooled look", stop);

        var seen = await _locks.Inspector.GetHeldAsync(stop: stop);

        Assert.That(seen.Items.Select(static one => one.Key), Does.Contain(LockKey.Of("pooled look")));
    }

    /// <summary>Not by a start-up option, and for as long as the connection lives: each use gives it back to the pool.</summary>
    [Test]
    public async Task Plans_the_statements_of_the_wait_queue_once_and_without_the_JIT_compiler(CancellationToken stop)
    {
        await using var source = NpgsqlDataSource.Create(_bouncer.ConnectionString);
        var options = new JobLocksOptions { ApplicationName = Sessions.NewName("plans") };
        using var statements = new PooledStatements(new SessionConnector(source, options, NullLogger.Instance), options, PooledUse.WaitQueue);

        for (var use = 0; use < 3; use++)
        {
            Assert.That(
                await statements.ReadAsync("SELECT current_setting('plan_cache_mode') || ', ' || current_setting('jit')", static row => row.GetString(0), use % 2 == 0, stop),
                Is.EqualTo(["force_generic_plan, off"]));
        }
    }
}

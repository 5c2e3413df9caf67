using System.Collections.Concurrent;
using System.Diagnostics;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Kinds;

/// <summary>The number of a grant grows with each grant of a key, so that a table can refuse a holder that is late.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class FencingTests : TwoInstances
{
    [Test]
    public async Task Grows_with_each_grant_of_a_key_in_one_process_and_between_two(CancellationToken stop)
    {
        var tokens = new List<long>();
        for (var i = 0; i < 60; i++)
        {
            await using var handle = await (i % 3 == 0 ? Locks : Others).AcquireAsync(Name, Patience, stop);
            tokens.Add(handle.FencingToken);
        }

        Assert.That(tokens, Is.Ordered.And.Unique);
        Assert.That(tokens[0], Is.Positive);
    }

    [Test]
    public async Task Grows_for_each_key_where_many_ask_at_once(CancellationToken stop)
    {
        var names = Enumerable.Range(0, 20).Select(i => $"{Name}{i}").ToList();
        var tokens = names.ToDictionary(static name => name, static _ => new ConcurrentQueue<long>(), StringComparer.Ordinal);

        await Parallel.ForAsync(0, 1000, new ParallelOptions { MaxDegreeOfParallelism = 32, CancellationToken = stop }, async (i, token) =>
        {
            var name = names[i % names.Count];
            await using var handle = await (i % 7 < 3 ? Locks : Others).AcquireAsync(name, Patience, token);
            // Written while it is held, so in the order of the grants.
            tokens[name].Enqueue(handle.FencingToken);
        });

        using (Assert.EnterMultipleScope())
        {
            foreach (var ofKey in tokens.Values) Assert.That(ofKey, Is.Ordered.And.Unique.And.Count.EqualTo(50));
        }
    }

    [Test]
    public async Task Grows_from_writers_to_readers_and_back(CancellationToken stop)
    {
        var last = 0L;
        for (var round = 0; round < 20; round++)
        {
            foreach (var mode in new[] { LockMode.Exclusive, LockMode.Shared })
            {
                await using var handle = await (round % 2 == 0 ? Locks : Others).AcquireAsync(Name, mode, Patience, stop);
                Assert.That(handle.FencingToken, Is.GreaterThan(last));
                last = handle.FencingToken;
            }
        }
    }

    [Test]
    public async Task Is_shared_by_the_readers_of_one_process(CancellationToken stop)
    {
        await using var first = await Locks.AcquireAsync(Name, LockMode.Shared, Patience, stop);
        await using var second = await Locks.AcquireAsync(Name, LockMode.Shared, Patience, stop);

        Assert.That(second.FencingToken, Is.EqualTo(first.FencingToken));
    }

    [Test]
    public async Task Grows_for_locks_that_are_taken_together(CancellationToken stop)
    {
        long last;
        await using (var plain = await Locks.AcquireAsync(Name, Patience, stop)) last = plain.FencingToken;
        await SettleAsync(Locks, stop);

        var taken = await Others.TryAcquireAllAsync([Name, $"other({Name})"], stop);

        Assert.That(taken!.Select(static handle => handle.FencingToken), Has.All.GreaterThan(last));
        await taken!.DisposeAsync();
    }

    [Test]
    public async Task Survives_a_server_that_was_stopped_at_once(CancellationToken stop)
    {
        await using var server = await PostgresServer.StartOwnAsync(stop);
        await using var locks = Impatient(server);
        var last = 0L;
        for (var restart = 0; restart < 3; restart++)
        {
            var held = await AcquireOnceBackAsync(locks, "restart", stop);
            Assert.That(held.FencingToken, Is.GreaterThan(last));
            last = held.FencingToken;

            await server.RestartAsync(immediate: true, stop);
            await held.DisposeAsync();
        }

        await using var after = await AcquireOnceBackAsync(locks, "restart", stop);
        Assert.That(after.FencingToken, Is.GreaterThan(last));
    }

    [Test]
    public async Task Survives_a_backend_that_was_killed(CancellationToken stop)
    {
        if (!OperatingSystem.IsLinux()) Assert.Ignore("Backends are killed on Linux only.");
        await using var server = await PostgresServer.StartOwnAsync(stop);
        await using var locks = Impatient(server);
        var held = await locks.AcquireAsync("killed", Patience, stop);
        var backend = (int)(await LockTable.AskAsync(server.ConnectionString, "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted LIMIT 1"))!;

        // The server takes this for a crash, ends all sessions and starts anew.
        using (var process = Process.GetProcessById(backend)) process.Kill();
        await WhenCancelled(held.Lost).WaitAsync(Patience, stop);
        await held.DisposeAsync();

        await using var next = await AcquireOnceBackAsync(locks, "killed", stop);
        Assert.That(next.FencingToken, Is.GreaterThan(held.FencingToken));
    }

    [Test]
    public async Task Lets_a_table_refuse_a_holder_that_is_late(CancellationToken stop)
    {
        await using var server = await PostgresServer.StartOwnAsync(stop);
        await using var locks = Impatient(server);
        await using var others = Impatient(server);
        await LockTable.AskAsync(server.ConnectionString, "CREATE TABLE client (id int PRIMARY KEY, synced text, fence bigint NOT NULL DEFAULT 0)");
        await LockTable.AskAsync(server.ConnectionString, "INSERT INTO client (id) VALUES (4)");
        await using var late = await locks.AcquireAsync("sync(4)", Patience, stop);
        Assert.That(await WriteAsync(server, "before", late.FencingToken), Is.EqualTo(1));

        await LockTable.AskAsync(server.ConnectionString, "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'");
        await using var next = await others.AcquireAsync("sync(4)", Patience, stop);
        Assert.That(await WriteAsync(server, "by the next", next.FencingToken), Is.EqualTo(1));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await WriteAsync(server, "too late", late.FencingToken), Is.Zero);
            Assert.That(await WriteAsync(server, "by the next, again", next.FencingToken), Is.EqualTo(1));
            Assert.That(await LockTable.AskAsync(server.ConnectionString, "SELECT synced FROM client WHERE id = 4"), Is.EqualTo("by the next, again"));
        }
    }

    [Test]
    public async Task Is_not_there_without_a_schema_and_says_what_to_do(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(Database, static options => options.Schema = null);
        await using var handle = await locks.AcquireAsync(Name, Patience, stop);

        var error = Assert.Throws<InvalidOperationException>(() => _ = handle.FencingToken);

        Assert.That(error!.Message, Does.StartWith($"The lock {Name} has no fencing token.").And.Contain("set Schema").And.Contain("docs/schema.sql"));
    }

    private static AdvisoryLocks Impatient(PostgresServer server) =>
        AdvisoryLocks.Connect(server.ConnectionString, static options => options.HeartbeatInterval = TimeSpan.FromMilliseconds(100));

    private static async Task<int> WriteAsync(PostgresServer server, string what, long token)
    {
        await using var connection = await Raw.OpenAsync(server.ConnectionString, CancellationToken.None);
        await using var update = new NpgsqlCommand("UPDATE client SET synced = $1, fence = $2 WHERE id = 4 AND fence <= $2", connection)
        {
            Parameters = { new() { Value = what }, new() { Value = token } },
        };
        return await update.ExecuteNonQueryAsync();
    }

    /// <summary>The process that lost its lock may not have noticed yet, and then refuses itself.</summary>
    private static async Task<JobLockHandle> AcquireOnceBackAsync(IJobLocks locks, string name, CancellationToken stop)
    {
        while (true)
        {
            if (await locks.TryAcquireOnceBackAsync(name, stop) is { } handle) return handle;
            await Task.Yield();
        }
    }

    private static async Task WhenCancelled(CancellationToken token)
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var registration = token.Register(cancelled.SetResult);
        await cancelled.Task;
    }
}

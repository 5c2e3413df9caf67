using System.Text.Json;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Tests.Support;
using Npgsql;
using NpgsqlTypes;

namespace JobLocks.Tests.WaitQueue;

/// <summary>However long the line of one name is, nobody reads more of it than his own part.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class WaitQueueCostTests
{
    // Down an index and to a row, a few times over.
    private const int FewBlocks = 60;

    private const string Fill =
        """
        INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked)
        SELECT 42, 'long', 0, 1, 'Test store', i::text, '', true FROM generate_series(1, 100000) AS i
        """;

    private NpgsqlConnection _connection = null!;
    private NpgsqlConnection _serving = null!;

    [OneTimeSetUp]
    public async Task FillLine()
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync(GetType().Name);
        await using var locks = AdvisoryLocks.Connect(database);
        await locks.EnsureSessionAsync(CancellationToken.None);
        _connection = await Raw.OpenAsync(database, CancellationToken.None);
        _serving = await Serving.ShowAsync(database, "Test store");
        await _connection.AskAsync(Fill, CancellationToken.None);
        await _connection.AskAsync("VACUUM ANALYZE joblocks.wait_queue", CancellationToken.None);
    }

    [OneTimeTearDown]
    public async Task Close()
    {
        await _connection.DisposeAsync();
        await _serving.DisposeAsync();
    }

    [TestCase(42), TestCase(43)]
    public async Task Reads_a_few_blocks_to_take_a_lock(long key) =>
        Assert.That(await BlocksOfAsync(LockSql.BatchWithQueue, Verbs(OperationCode.Acquire), Keys(key), Keys(long.MaxValue)), Is.InRange(1, FewBlocks));

    [TestCase(42), TestCase(43)]
    public async Task Reads_a_few_blocks_to_see_whether_a_run_waits_for_what_is_released(long key) =>
        Assert.That(await BlocksOfAsync(LockSql.QueuesOfReleased, Verbs(OperationCode.Release), Keys(key), Keys(key)), Is.InRange(1, FewBlocks));

    [Test]
    public async Task Reads_a_few_blocks_to_choose_who_is_next()
    {
        var free = new FreeWorkers([new RunsOfTest { Id = "Test store" }]);
        Assert.That(
            await BlocksOfAsync(
                WakeSql.Wake, [Keys(42), new NpgsqlParameter<int[]> { TypedValue = [1] }, new NpgsqlParameter<bool[]> { TypedValue = [false] }, .. free.Parameters(pendingWakes: [])]),
            Is.InRange(1, FewBlocks));
    }

    [Test]
    public async Task Reads_a_few_blocks_to_see_whether_anybody_waits() => Assert.That(await BlocksOfAsync($"SELECT {GuardSql.HasWaiters}"), Is.InRange(1, FewBlocks));

    [TestCase(42), TestCase(43)]
    public async Task Reads_a_few_blocks_to_see_whether_anybody_waits_for_a_key(long key) =>
        Assert.That(await BlocksOfAsync($"SELECT {GuardSql.HasWaitersForKeys}", Verbs(OperationCode.Acquire), Keys(key)), Is.InRange(1, FewBlocks));

    [TestCase(true, ExpectedResult = false)]
    [TestCase(false, ExpectedResult = true)]
    public async Task<bool> Reads_the_lock_table_to_acquire_only_where_another_session_serves_the_store(bool servesItself)
    {
        await using var undone = await _connection.BeginTransactionAsync();
        if (servesItself) await AnnounceAsync(undone);
        try
        {
            using var plan = await ExplainAsync(undone, LockSql.BatchWithQueue, Verbs(OperationCode.Acquire), Keys(42), Keys(long.MaxValue));
            return ReadsLockTable(plan.RootElement[0].GetProperty("Plan"));
        }
        finally
        {
            if (servesItself) await _connection.AskAsync("SELECT pg_advisory_unlock_shared(1246524276, hashtext('Test store'))", CancellationToken.None);
        }
    }

    private async Task AnnounceAsync(NpgsqlTransaction transaction)
    {
        // Through the function of the guard, as the session does: the setting must outlast the function.
        await using var guard = new NpgsqlCommand(GuardSql.CreateQuery, _connection, transaction);
        await guard.ExecuteNonQueryAsync();
        await using var announce = new NpgsqlCommand(GuardSql.Query, _connection, transaction);
        announce.Parameters.Add(new() { Value = "\"Test store\"", NpgsqlDbType = NpgsqlDbType.Jsonb });
        announce.Parameters.Add(new() { Value = PresenceSql.Announce });
        await announce.ExecuteNonQueryAsync();
    }

    private static bool ReadsLockTable(JsonElement node)
    {
        if (node.TryGetProperty("Function Name", out var function) && function.ValueEquals("pg_lock_status") && node.GetProperty("Actual Loops").GetDouble() > 0) return true;

        return node.TryGetProperty("Plans", out var children) && children.EnumerateArray().Any(ReadsLockTable);
    }

    private static NpgsqlParameter<short[]> Verbs(OperationCode verb) => new() { TypedValue = [(short)verb] };

    private static NpgsqlParameter<long[]> Keys(long key) => new() { TypedValue = [key] };

    /// <summary>How much of the database a statement reads. What it does is undone.</summary>
    private async Task<int> BlocksOfAsync(string sql, params NpgsqlParameter[] parameters)
    {
        await using var undone = await _connection.BeginTransactionAsync();
        using var plan = await ExplainAsync(undone, sql, parameters);
        await TestContext.Out.WriteLineAsync(plan.RootElement.ToString());
        var top = plan.RootElement[0].GetProperty("Plan");
        return top.GetProperty("Shared Hit Blocks").GetInt32() + top.GetProperty("Shared Read Blocks").GetInt32();
    }

    private async Task<JsonDocument> ExplainAsync(NpgsqlTransaction undone, string sql, params NpgsqlParameter[] parameters)
    {
        await using var explain = new NpgsqlCommand($"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {WaitQueueSql.For(new(), sql)}", _connection, undone);
        explain.Parameters.AddRange(parameters);
        return JsonDocument.Parse((string)(await explain.ExecuteScalarAsync())!);
    }
}

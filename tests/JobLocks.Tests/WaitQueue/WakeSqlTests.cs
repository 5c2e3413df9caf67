using JobLocks.Postgres.WaitQueue;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.WaitQueue;

/// <summary>The one statement that decides whose turn it is, where many let go of one lock at once.</summary>
[TestFixture]
public sealed class WakeSqlTests
{
    private const int Releases = 8;

    private static readonly JobLocksOptions Options = new();

    private string _database = "";
    private NpgsqlConnection _serving = null!;
    private LockKey _key;

    [OneTimeSetUp]
    public async Task Prepare()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync(GetType().Name);
        await using var locks = AdvisoryLocks.Connect(_database);
        await (await locks.TryAcquireAsync("prepared"))!.DisposeAsync();
        _serving = await Serving.ShowAsync(_database, "store");
    }

    [OneTimeTearDown]
    public async Task Close() => await _serving.DisposeAsync();

    [SetUp]
    public void NewKey() => _key = LockKey.Of(Guid.NewGuid().ToString());

    /// <summary>A late run would be one of the same queue for the next test.</summary>
    [TearDown]
    public Task Clear() => RunAsync("DELETE FROM joblocks.wait_queue");

    [Test]
    public async Task Wakes_one_where_one_may_run([Values] bool countsWoken)
    {
        await EnqueueAsync(20);

        Assert.That(await ReleaseAtOnceAsync(free: 1, countsWoken), Is.EqualTo([1]));
    }

    [Test]
    public async Task Wakes_one_for_each_that_left_where_several_may_run()
    {
        await EnqueueAsync(20, slots: Releases);

        Assert.That(await ReleaseAtOnceAsync(free: 1), Is.EqualTo(Enumerable.Range(1, Releases)));
    }

    [Test]
    public async Task Wakes_no_more_than_are_free_where_those_who_were_woken_count()
    {
        await EnqueueAsync(20, slots: 5);

        Assert.That(await ReleaseAtOnceAsync(free: 3, countsWoken: true), Is.EqualTo([1, 2, 3]));
    }

    [Test]
    public async Task Wakes_the_readers_before_a_writer_once_each()
    {
        await EnqueueAsync(10, mode: LockMode.Shared);
        await EnqueueAsync(1);
        await EnqueueAsync(10, mode: LockMode.Shared);

        Assert.That(await ReleaseAtOnceAsync(free: 1), Is.EqualTo(Enumerable.Range(1, 10)));
    }

    [Test]
    public async Task Wakes_a_writer_alone_before_the_readers_behind_it()
    {
        await EnqueueAsync(1);
        await EnqueueAsync(10, mode: LockMode.Shared);

        Assert.That(await ReleaseAtOnceAsync(free: 1), Is.EqualTo([1]));
    }

    [Test]
    public async Task Wakes_the_next_run_when_the_first_was_woken_and_did_not_start()
    {
        await EnqueueAsync(3);
        await RunAsync("UPDATE joblocks.wait_queue SET woken = now() - interval '31 s', claimed = true WHERE entry = (SELECT min(entry) FROM joblocks.wait_queue WHERE key = $1)", _key.Value);

        Assert.That(await ReleaseAtOnceAsync(free: 1), Is.EqualTo([2]));
    }

    [Test]
    public async Task Wakes_no_run_that_must_not_start()
    {
        await EnqueueAsync(2);
        await RunAsync("UPDATE joblocks.wait_queue SET verdict = 'Skipped' WHERE entry = (SELECT min(entry) FROM joblocks.wait_queue WHERE key = $1)", _key.Value);

        Assert.That(await ReleaseAtOnceAsync(free: 1), Is.EqualTo([2]));
    }

    [Test]
    public async Task Leaves_the_wait_queues_of_other_names_alone()
    {
        var other = _key;
        await EnqueueAsync(1);
        NewKey();
        await EnqueueAsync(1);

        await ReleaseAtOnceAsync(free: 1);

        Assert.That(await LockTable.AskAsync(_database, "SELECT count(*) FROM joblocks.wait_queue WHERE key = $1 AND woken IS NOT NULL", other.Value), Is.Zero);
    }

    /// <summary>So many more stand in the line.</summary>
    private Task<object?> EnqueueAsync(int count, LockMode mode = LockMode.Exclusive, int slots = 1) => RunAsync(
        """
        INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked)
        SELECT $1, 'name', $2, $3, 'store', gen_random_uuid()::text, '', true FROM generate_series(1, $4)
        """,
        _key.Value,
        (short)mode,
        slots,
        count);

    /// <summary>Several processes let go at the same moment.</summary>
    /// <returns>Who was woken, in order: 1 for the first in the line. One that was woken twice is there twice.</returns>
    private async Task<IReadOnlyList<int>> ReleaseAtOnceAsync(int free, bool countsWoken = false)
    {
        var places = await PlacesAsync("SELECT entry FROM joblocks.wait_queue WHERE key = $1 ORDER BY entry", new NpgsqlParameter<long> { TypedValue = _key.Value });
        var woken = await Task.WhenAll(Enumerable.Range(0, Releases).Select(_ => Task.Run(() => PlacesAsync(
            WaitQueueSql.For(Options, WakeSql.Wake),
            [
                new NpgsqlParameter<long[]> { TypedValue = [_key.Value] },
                new NpgsqlParameter<int[]> { TypedValue = [free] },
                new NpgsqlParameter<bool[]> { TypedValue = [countsWoken] },
                .. new FreeWorkers([]).Parameters(pendingWakes: []),
            ]))));
        return [.. woken.SelectMany(static some => some).Select(place => places.IndexOf(place) + 1).Order()];
    }

    private async Task<List<long>> PlacesAsync(string sql, params NpgsqlParameter[] parameters)
    {
        await using var connection = await Raw.OpenAsync(_database, CancellationToken.None);
        await using var command = new NpgsqlCommand(sql, connection);
        command.Parameters.AddRange(parameters);
        await using var reader = await command.ExecuteReaderAsync();
        var places = new List<long>();
        while (await reader.ReadAsync()) places.Add(reader.GetInt64(0));
        return places;
    }

    private Task<object?> RunAsync(string sql, params object[] parameters) => LockTable.AskAsync(_database, sql, parameters);
}

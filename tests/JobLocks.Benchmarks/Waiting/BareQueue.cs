using System.Globalization;
using JobLocks.Gate;
using JobLocks.WaitQueue;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>A line of runs that only stand there, in a database of its own.</summary>
internal sealed class BareQueue : IAsyncDisposable
{
    private const string Fill =
        """
        INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked)
        SELECT k.key, k.name, 0, 1, $1, r::text, '', true
        FROM   generate_series(1, $2) AS r,
               LATERAL (SELECT n.name, joblocks.key(n.name) AS key FROM (SELECT $3 || (r % $4)) AS n (name)) AS k
        """;

    private readonly Database _database;
    private readonly WokenRuns _store = new();

    private BareQueue(Database database, string application)
    {
        _database = database;
        Locks = AdvisoryLocks.Connect(database.ConnectionString(application), options => options.ApplicationName = application);
    }

    public AdvisoryLocks Locks { get; }

    private ILockBackend Keeper => Locks;

    public static async Task<BareQueue> OpenAsync(Database database, string application, CancellationToken stop)
    {
        var line = new BareQueue(database, application);
        await line.Locks.EnsureSessionAsync(stop);
        await database.AskAsync("DELETE FROM joblocks.wait_queue", stop);
        await database.AskAsync("VACUUM ANALYZE joblocks.wait_queue", stop);
        return line;
    }

    /// <summary>Puts runs into the line under names, in turn, and only then begins to wake them.</summary>
    public async Task FillAsync(int runs, string prefix, int names, CancellationToken stop)
    {
        await _database.AskAsync(Fill, stop, _store.Id, runs, prefix, names);
        // As the server does by itself within a minute, here and at the beginning.
        await _database.AskAsync("VACUUM ANALYZE joblocks.wait_queue", stop);
    }

    /// <summary>From here on the runs are woken by this process.</summary>
    public void Serve() => Keeper.WaitQueue.AddStore(_store);

    public ValueTask<WaitingRun> NextAsync(CancellationToken stop) => _store.NextAsync(stop);

    /// <summary>As the gate does for a run whose turn has come: it takes its lock by its place, and gives the place up.</summary>
    public async Task<JobLockHandle> EnterAsync(WaitingRun run, CancellationToken stop)
    {
        var place = await Keeper.WaitQueue.FindAsync(run.Address, blocks: false, stop);
        var taken = await Keeper.TryAcquireAllAsync([new(run.Name, run.Key)], new() { Run = run.Address.Run }, place, blocks: false, stop);
        await Keeper.WaitQueue.DequeueAsync(place!, blocks: false, stop);
        return taken.Refused is null ? taken.Handles[0] : throw new InvalidOperationException($"Run {run.Address.Run.ToString(CultureInfo.InvariantCulture)} was woken before its turn.");
    }

    public async ValueTask DisposeAsync()
    {
        Keeper.WaitQueue.RemoveStore(_store);
        await Locks.DisposeAsync();
        await _database.AskAsync("DELETE FROM joblocks.wait_queue", CancellationToken.None);
    }
}

using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>The free workers of this process for each queue of each store, as <see cref="WorkersSql.ClaimableRows"/> wants them.</summary>
internal sealed class FreeWorkers
{
    private readonly List<(string Store, string? Queue, int FreeInQueue, int FreeInStore)> _queues = [];

    /// <param name="stores">The stores that this process knows. Several schedulers may work on one store.</param>
    public FreeWorkers(IEnumerable<IRunStore> stores)
        : this(stores, static store => store.FreeWorkers)
    {
    }

    /// <param name="stores">The stores that this process knows. Several schedulers may work on one store.</param>
    /// <param name="poolsOf">Returns the workers of a scheduler that count.</param>
    public FreeWorkers(IEnumerable<IRunStore> stores, Func<IRunStore, IEnumerable<WorkerPool>> poolsOf)
    {
        foreach (var schedulers in stores.Where(static store => store.Id is not null).GroupBy(static store => store.Id!, StringComparer.Ordinal))
        {
            var pools = schedulers.SelectMany(poolsOf).Where(static pool => pool.Free > 0).ToList();
            var freeInStore = Sum(pools);
            if (pools.Where(static pool => pool.Queues is null).ToList() is { Count: > 0 } ofAnyQueue) _queues.Add((schedulers.Key, null, Sum(ofAnyQueue), freeInStore));
            _queues.AddRange(pools
                .SelectMany(static pool => (pool.Queues ?? []).Select(queue => (Queue: queue, Pool: pool)))
                .GroupBy(static served => served.Queue, static served => served.Pool, StringComparer.Ordinal)
                .Select(queue => (schedulers.Key, (string?)queue.Key, Sum(queue), freeInStore)));
        }
    }

    /// <summary>Whether any worker is free.</summary>
    public bool Any => _queues.Count > 0;

    /// <summary>Whether a free worker serves a queue.</summary>
    public bool HasWorkerFor(string queue) => _queues.Exists(served => served.Queue is null || string.Equals(served.Queue, queue, StringComparison.Ordinal));

    /// <summary>
    /// Returns arrays of stores, their queues, free workers of each queue and of the whole store; and the entry numbers of the pending wakes.
    /// </summary>
    public NpgsqlParameter[] Parameters(long[] pendingWakes) =>
    [
        new NpgsqlParameter<string[]> { TypedValue = [.. _queues.Select(static queue => queue.Store)] },
        new NpgsqlParameter<string?[]> { TypedValue = [.. _queues.Select(static queue => queue.Queue)] },
        new NpgsqlParameter<int[]> { TypedValue = [.. _queues.Select(static queue => queue.FreeInQueue)] },
        new NpgsqlParameter<int[]> { TypedValue = [.. _queues.Select(static queue => queue.FreeInStore)] },
        new NpgsqlParameter<long[]> { TypedValue = pendingWakes },
    ];

    private static int Sum(IEnumerable<WorkerPool> pools) => (int)Math.Min(int.MaxValue, pools.Sum(static pool => (long)pool.Free));
}

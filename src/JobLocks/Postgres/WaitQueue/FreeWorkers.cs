using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>The free workers of this process for each queue of each store, as <see cref="WorkersSql.Ours"/> wants them.</summary>
internal sealed class FreeWorkers
{
    private readonly List<(string Store, string? Queue, int OfQueue, int OfStore)> _queues = [];

    /// <param name="stores">The stores that this process works on; several schedulers may work on one.</param>
    public FreeWorkers(IEnumerable<IRunStore> stores)
    {
        foreach (var ofStore in stores.Where(static store => store.Id is not null).GroupBy(static store => store.Id!, StringComparer.Ordinal))
        {
            var pools = ofStore.SelectMany(static store => store.FreeWorkers).Where(static pool => pool.Free > 0).ToList();
            var all = Sum(pools);
            if (pools.Where(static pool => pool.Queues is null).ToList() is { Count: > 0 } anywhere) _queues.Add((ofStore.Key, null, Sum(anywhere), all));
            _queues.AddRange(pools
                .SelectMany(static pool => (pool.Queues ?? []).Select(queue => (Queue: queue, Pool: pool)))
                .GroupBy(static of => of.Queue, static of => of.Pool, StringComparer.Ordinal)
                .Select(queue => (ofStore.Key, (string?)queue.Key, Sum(queue), all)));
        }
    }

    /// <summary>Whether there is any.</summary>
    public bool Any => _queues.Count > 0;

    /// <summary>Whether one of them serves a queue.</summary>
    public bool Serve(string queue) => _queues.Exists(of => of.Queue is null || string.Equals(of.Queue, queue, StringComparison.Ordinal));

    /// <summary>Stores, their queues, free workers of each queue and of the whole store, and the places of the wakes under way.</summary>
    public NpgsqlParameter[] Parameters(long[] underWay) =>
    [
        new NpgsqlParameter<string[]> { TypedValue = [.. _queues.Select(static of => of.Store)] },
        new NpgsqlParameter<string?[]> { TypedValue = [.. _queues.Select(static of => of.Queue)] },
        new NpgsqlParameter<int[]> { TypedValue = [.. _queues.Select(static of => of.OfQueue)] },
        new NpgsqlParameter<int[]> { TypedValue = [.. _queues.Select(static of => of.OfStore)] },
        new NpgsqlParameter<long[]> { TypedValue = underWay },
    ];

    private static int Sum(IEnumerable<WorkerPool> pools) => (int)Math.Min(int.MaxValue, pools.Sum(static pool => (long)pool.Free));
}

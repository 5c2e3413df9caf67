namespace JobLocks.Postgres.WaitQueue;

/// <summary>How many wakes a process claims: no more than it has free workers, less the wakes that wait for a worker already.</summary>
internal static class WorkersSql
{
    /// <summary>
    /// The common table expression "claimable": the rows of "candidate" (entry, store, queue), in their order, for which the caller has a free worker. The
    /// parameters from <paramref name="first"/> on are those of <see cref="FreeWorkers.Parameters"/>. A pending wake occupies a worker until its run has left
    /// the wait queue or waits again, in any process.
    /// </summary>
    public static string ClaimableRows(int first) =>
        $"""
        pending_wakes AS MATERIALIZED (
                 SELECT   store, queue, count(*) AS n
                 FROM     "joblocks".wait_queue
                 WHERE    entry = ANY (${first + 4}::bigint[])
                 AND      claimed
                 GROUP BY store, queue),
             free_workers AS MATERIALIZED (
                 SELECT f.store,
                        f.queue,
                        f.of_queue - coalesce((SELECT sum(p.n) FROM pending_wakes AS p WHERE p.store = f.store AND coalesce(p.queue = f.queue, true)), 0) AS of_queue,
                        f.of_store - coalesce((SELECT sum(p.n) FROM pending_wakes AS p WHERE p.store = f.store), 0) AS of_store
                 FROM   unnest(${first}::text[], ${first + 1}::text[], ${first + 2}::int[], ${first + 3}::int[]) AS f (store, queue, of_queue, of_store)),
             served AS (
                 SELECT c.entry, c.store, f.of_queue, f.of_store, row_number() OVER (PARTITION BY c.store, c.queue ORDER BY c.entry) AS rank
                 FROM   candidate AS c
                 CROSS  JOIN LATERAL (
                            SELECT sum(w.of_queue) AS of_queue, max(w.of_store) AS of_store
                            FROM   free_workers AS w
                            WHERE  w.store = c.store AND coalesce(w.queue = c.queue, true)) AS f
                 WHERE  f.of_store > 0),
             claimable AS MATERIALIZED (
                 SELECT entry
                 FROM   (SELECT entry, of_store, row_number() OVER (PARTITION BY store ORDER BY entry) AS rank FROM served WHERE rank <= of_queue) AS s
                 WHERE  rank <= of_store)
        """;
}

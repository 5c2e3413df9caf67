namespace JobLocks.Postgres.WaitQueue;

/// <summary>Statements of the sweep: missed wakes, free keys that have waiters, and stores that no process serves.</summary>
internal static class SweepSql
{
    /// <summary>
    /// Makes this session the leader that sweeps for the store with the number $1, see <see cref="SweepLeadership"/>, unless another session is. "JLsw" in
    /// ASCII.
    /// </summary>
    public const string AcquireLeadership = "SELECT to_jsonb(CASE WHEN pg_try_advisory_lock(1246524279, $1::int) THEN pg_backend_pid() END)";

    /// <summary>Lets another session sweep for the store.</summary>
    public const string ReleaseLeadership = "SELECT to_jsonb(pg_advisory_unlock(1246524279, $1::int)::int)";

    /// <summary>Whether the store $1 has entries in the wait queue.</summary>
    public const string HasEntries = """SELECT to_jsonb(EXISTS (SELECT FROM "joblocks".wait_queue WHERE store = $1 #>> '{}'))""";

    /// <summary>
    /// The first waiter of each key, and whether the key is held: $1 keys from the key $2 on. Reads key by key through the index, so that a long queue costs
    /// no more than a short one. If no entry precedes others: the first entry that can start and was not woken. If there is no such entry, the row has slots
    /// = 0.
    /// </summary>
    public const string Heads =
        $"""
        WITH RECURSIVE
             keys AS (
                 (SELECT key, 1 AS number FROM "joblocks".wait_queue WHERE key >= $2 ORDER BY key LIMIT 1)
                 UNION ALL
                 SELECT (SELECT l.key FROM "joblocks".wait_queue AS l WHERE l.key > n.key ORDER BY l.key LIMIT 1), n.number + 1
                 FROM   keys AS n
                 WHERE  n.key IS NOT NULL AND n.number < $1),
             held AS MATERIALIZED (
                 SELECT   (classid::bigint << 32) | objid::bigint AS key, bool_or(mode = 'ExclusiveLock') AS alone
                 FROM     pg_locks
                 WHERE    locktype = 'advisory'
                 AND      objsubid = 1
                 AND      granted
                 AND      database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 GROUP BY 1)
        SELECT n.key, coalesce(h.name, bypassed.name, ''), coalesce(h.mode, bypassed.mode, 0::smallint), coalesce(h.slots, bypassed.slots, 0), held.key IS NOT NULL, coalesce(held.alone, false)
        FROM   keys AS n
        LEFT   JOIN LATERAL (
                   SELECT   name, mode, slots
                   FROM     "joblocks".wait_queue AS l
                   WHERE    l.key = n.key
                   AND      {WaitQueueSql.Precedes}
                   ORDER BY entry
                   LIMIT    1) AS h ON true
        LEFT   JOIN LATERAL (
                   SELECT   name, mode, slots
                   FROM     "joblocks".wait_queue AS l
                   WHERE    h.name IS NULL
                   AND      l.key = n.key
                   AND      l.woken IS NULL
                   AND      {WaitQueueSql.CanStart}
                   ORDER BY entry
                   LIMIT    1) AS bypassed ON true
        LEFT   JOIN held ON held.key = n.key
        WHERE  n.key IS NOT NULL
        ORDER BY n.key
        """;

    /// <summary>For the lock with the index $1[i]: how many of its slots $2[i] are held. Locks without a held slot are left out.</summary>
    public const string CountHeld =
        """
        SELECT   u.lock_index, count(DISTINCT u.slot)::int
        FROM     ROWS FROM (unnest($1::int[]), unnest($2::bigint[])) AS u (lock_index, slot)
        JOIN     (SELECT (classid::bigint << 32) | objid::bigint AS key
                  FROM   pg_locks
                  WHERE  locktype = 'advisory'
                  AND    objsubid = 1
                  AND    granted
                  AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS h ON h.key = u.slot
        GROUP BY u.lock_index
        """;

    /// <summary>
    /// Sets future times of the store $1 to now(). They occur after the server's clock was set back; until the clock reached them, the run would not be
    /// found. The time-out of a wake and the time limit of a run start again.
    /// </summary>
    public const string CorrectFutureTimes =
        """
        WITH woken AS (
                 SELECT   entry
                 FROM     "joblocks".wait_queue
                 WHERE    store = $1
                 AND      woken > now() + interval '1 s'
                 ORDER BY key, entry
                 LIMIT    10000
                 FOR UPDATE SKIP LOCKED),
             limited AS (
                 SELECT   entry
                 FROM     "joblocks".wait_queue
                 WHERE    store = $1
                 AND      until IS NOT NULL
                 AND      since > now() + interval '1 s'
                 ORDER BY key, entry
                 LIMIT    10000
                 FOR UPDATE SKIP LOCKED)
        UPDATE "joblocks".wait_queue
        SET    woken = CASE WHEN woken > now() THEN now() ELSE woken END,
               until = until - greatest(since - now(), interval '0'),
               since = least(since, now())
        WHERE  entry IN (SELECT entry FROM woken UNION ALL SELECT entry FROM limited)
        """;

    /// <summary>
    /// Of the store $1: wakes the runs whose time limit is over and that are not woken. Their entries show that it is over. Returns for each whether it was called:
    /// such a run is on its way, and its wake needs no delivery.
    /// </summary>
    public const string WakeOverdue =
        """
        WITH overdue AS MATERIALIZED (
                 SELECT   entry, claimed AS was_called
                 FROM     "joblocks".wait_queue
                 WHERE    store = $1
                 AND      until <= now()
                 AND      woken IS NULL
                 ORDER BY until
                 LIMIT    100
                 FOR UPDATE SKIP LOCKED)
        UPDATE "joblocks".wait_queue AS l
        SET    woken = now(), claimed = l.parked
        FROM   overdue
        WHERE  l.entry = overdue.entry
        RETURNING l.entry, l.key, l.name, l.store, l.run, l.queue, l.parked, l.claimed, l.since, extract(epoch FROM now() - l.since)::float8, was_called
        """;

    /// <summary>
    /// Of the store $1: claims wakes that are older than one second and not claimed yet. A notification was lost, or no process had a free worker. The caller
    /// claims as many as it has free workers for, by the parameters from $3 on. Where $2 is true, the caller sweeps for the store, and also claims all wakes
    /// that are older than three seconds.
    /// </summary>
    public static readonly string ClaimMissedWakes =
        $"""
        WITH candidate AS MATERIALIZED (
                 SELECT   l.entry, l.store, l.queue, $2 AND l.woken < now() - interval '3 s' AS is_long_unclaimed
                 FROM     "joblocks".wait_queue AS l
                 WHERE    l.store = $1
                 AND      l.woken < now() - interval '1 s'
                 AND      l.parked
                 AND      NOT l.claimed
                 AND      (($2 AND l.woken < now() - interval '3 s')
                           OR EXISTS (SELECT FROM unnest($3::text[], $4::text[]) AS o (store, queue) WHERE o.store = l.store AND coalesce(o.queue = l.queue, true)))
                 ORDER BY l.entry
                 LIMIT    100
                 FOR UPDATE SKIP LOCKED),
             {WorkersSql.ClaimableRows(3)}
        UPDATE "joblocks".wait_queue AS l
        SET    claimed = true
        FROM   candidate
        WHERE  l.entry = candidate.entry
        AND    (candidate.is_long_unclaimed OR l.entry IN (SELECT entry FROM claimable))
        RETURNING l.entry, l.key, l.name, l.store, l.run, l.queue, l.parked, l.claimed, l.since, extract(epoch FROM now() - l.since)::float8
        """;

    /// <summary>
    /// Of the store $1: the next $3 runs after the entry $2 that were woken and have not started. The process that was to park them, or to deliver the wake,
    /// may have died.
    /// </summary>
    public const string UnstartedRuns =
        """
        SELECT   entry, key, name, store, run, queue, parked, claimed, since, extract(epoch FROM now() - since)::float8
        FROM     "joblocks".wait_queue
        WHERE    store = $1
        AND      entry > $2
        AND      woken < now() - CASE WHEN parked THEN interval '5 s' ELSE interval '1 s' END
        ORDER BY entry
        LIMIT    $3
        """;

    /// <summary>
    /// Of the store $1: the next $3 runs after the entry $2 that are not woken, for a check in the store. Skips runs that are just being parked. A time in
    /// the future is accepted: the clock of the server was set back.
    /// </summary>
    public const string WaitersToCheck =
        """
        SELECT   entry, key, name, store, run, queue, parked, false, since, extract(epoch FROM now() - since)::float8
        FROM     "joblocks".wait_queue
        WHERE    store = $1
        AND      woken IS NULL
        AND      entry > $2
        AND      (since < now() - interval '2 s' OR since > now() + interval '1 s')
        ORDER BY entry
        LIMIT    $3
        """;

    /// <summary>
    /// The stores that have entries and that no process serves, and for how many seconds, as far as sweeps have seen that. One entry of each is marked with
    /// the time, until a process serves the store again. Reads store by store through the index.
    /// </summary>
    public const string UnservedStores =
        $"""
        WITH RECURSIVE stores AS (
                 (SELECT store FROM "joblocks".wait_queue ORDER BY store LIMIT 1)
                 UNION ALL
                 SELECT (SELECT l.store FROM "joblocks".wait_queue AS l WHERE l.store > s.store ORDER BY l.store LIMIT 1)
                 FROM   stores AS s
                 WHERE  s.store IS NOT NULL),
             gone AS MATERIALIZED (
                 SELECT s.store, (SELECT min(m.unserved) FROM "joblocks".wait_queue AS m WHERE m.store = s.store AND m.unserved <= now()) AS since
                 FROM   (SELECT store FROM stores AS l WHERE store IS NOT NULL AND NOT {PresenceSql.IsServed}) AS s),
             marked AS (
                 UPDATE "joblocks".wait_queue
                 SET    unserved = now()
                 WHERE  entry IN (SELECT (SELECT f.entry FROM "joblocks".wait_queue AS f WHERE f.store = g.store ORDER BY f.run LIMIT 1) FROM gone AS g WHERE g.since IS NULL)),
             served AS (
                 UPDATE "joblocks".wait_queue
                 SET    unserved = NULL
                 WHERE  unserved IS NOT NULL
                 AND    store NOT IN (SELECT store FROM gone))
        SELECT store, coalesce(extract(epoch FROM now() - since), 0)::float8 FROM gone
        """;

    /// <summary>
    /// Moves entries of the runs $3, which the store $1 has parked, from its other ids $2 to this id. Only entries of ids that no process serves are moved. The
    /// runs keep their entry numbers. Of a run that has several entries, one is kept.
    /// </summary>
    public const string Adopt =
        $"""
        WITH others AS MATERIALIZED (
                 SELECT l.entry,
                        row_number() OVER (PARTITION BY l.run ORDER BY l.entry) AS rank,
                        EXISTS (SELECT FROM "joblocks".wait_queue AS o WHERE o.store = $1 AND o.run = l.run) AS has_own
                 FROM   "joblocks".wait_queue AS l
                 WHERE  l.store = ANY ($2)
                 AND    l.run = ANY ($3)
                 AND    NOT {PresenceSql.IsServed}),
             doubled AS (
                 DELETE FROM "joblocks".wait_queue WHERE entry IN (SELECT entry FROM others WHERE has_own OR rank > 1))
        UPDATE "joblocks".wait_queue
        SET    store = $1, parked = true, unserved = NULL
        WHERE  entry IN (SELECT entry FROM others WHERE NOT has_own AND rank = 1)
        RETURNING run
        """;

    /// <summary>Removes all entries of the store $1.</summary>
    public const string RemoveStore = """DELETE FROM "joblocks".wait_queue WHERE store = $1""";

    /// <summary>Removes all entries of the store $1, unless a process serves it.</summary>
    public const string RemoveUnservedStore = $"{RemoveStore} AND EXISTS (SELECT FROM (SELECT $1::text AS store) AS l WHERE NOT {PresenceSql.IsServed})";

    /// <summary>Renames the store $1 to $2. A run that has an entry under both ids keeps the one under the new id.</summary>
    public const string RenameStore =
        """
        WITH doubled AS (
            DELETE FROM "joblocks".wait_queue AS l
            WHERE  store = $1
            AND    EXISTS (SELECT FROM "joblocks".wait_queue AS o WHERE o.store = $2 AND o.run = l.run)
            RETURNING entry)
        UPDATE "joblocks".wait_queue
        SET    store = $2, unserved = NULL
        WHERE  store = $1
        AND    entry NOT IN (SELECT entry FROM doubled)
        """;
}

namespace ClientSync;

/// <summary>The sample's tables, in the database's default schema, and all that is asked of them.</summary>
internal static class Tables
{
    /// <summary>Where Hangfire and Quartz keep their jobs: schemas of the sample's own, so that no other application's are touched.</summary>
    public const string HangfireSchema = "client_sync_hangfire";

    public const string QuartzSchema = "client_sync_quartz";

    /// <summary>Everything from an earlier run goes; nothing else does. ended_at moves with each page, so that a run that was cut off has one too.</summary>
    public const string Prepare =
        """
        DROP SCHEMA IF EXISTS client_sync_hangfire CASCADE;
        DROP SCHEMA IF EXISTS client_sync_quartz CASCADE;
        CREATE SCHEMA client_sync_quartz;
        DROP TABLE IF EXISTS client_sync_runs, client_sync_refusals, client_watermarks, strike_reports;
        CREATE TABLE client_sync_runs
        (
            run_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            client_id  integer NOT NULL,
            scheduler  text NOT NULL,
            server     text NOT NULL,
            started_at timestamptz NOT NULL,
            ended_at   timestamptz NOT NULL
        );
        CREATE TABLE client_sync_refusals
        (
            client_id integer NOT NULL,
            server    text NOT NULL,
            reason    text NOT NULL,
            at        timestamptz NOT NULL DEFAULT clock_timestamp()
        );
        CREATE TABLE client_watermarks
        (
            client_id      integer PRIMARY KEY,
            last_report_id integer NOT NULL,
            fence          bigint NOT NULL
        );
        CREATE TABLE strike_reports
        (
            report_id      integer NOT NULL,
            client_id      integer NOT NULL,
            flight_date    date NOT NULL,
            airport        text NOT NULL,
            aircraft       text NOT NULL,
            phase          text NOT NULL,
            species        text NOT NULL,
            damage         text NOT NULL,
            total_cost_usd integer NOT NULL,
            run_id         bigint NOT NULL
        )
        """;

    public const string BeginRun =
        """
        INSERT INTO client_sync_runs (client_id, scheduler, server, started_at, ended_at)
        SELECT $1, $2, $3, now, now
        FROM   (SELECT clock_timestamp() AS now) clock
        RETURNING run_id
        """;

    /// <summary>A run that came too late has ended before the next one began.</summary>
    public const string StillRunning =
        """
        UPDATE client_sync_runs r SET ended_at = clock_timestamp()
        FROM   client_watermarks w
        WHERE  r.run_id = $1 AND w.client_id = r.client_id AND w.fence = $2
        """;

    public const string Refuse = "INSERT INTO client_sync_refusals (client_id, server, reason) VALUES ($1, $2, $3)";

    /// <summary>
    /// How far the last run came. The run leaves the number of its lock: what an earlier holder still writes is refused from here on,
    /// and what it has written is seen. No answer where a later holder was here before.
    /// </summary>
    public const string TakeOver =
        """
        INSERT INTO client_watermarks AS w (client_id, last_report_id, fence) VALUES ($1, 0, $2)
        ON CONFLICT (client_id) DO UPDATE SET fence = excluded.fence WHERE w.fence <= excluded.fence
        RETURNING last_report_id
        """;

    public const string MoveWatermark = "UPDATE client_watermarks SET last_report_id = $2 WHERE client_id = $1 AND fence = $3";

    public const string CopyReports =
        """
        COPY strike_reports (report_id, client_id, flight_date, airport, aircraft, phase, species, damage, total_cost_usd, run_id)
        FROM STDIN (FORMAT binary)
        """;

    public const string CountReports = "SELECT count(DISTINCT report_id) FROM strike_reports";

    /// <summary>Runs that have not come to their end yet, in both stores.</summary>
    public const string CountOpenRuns =
        """
        SELECT (SELECT count(*) FROM client_sync_hangfire.job WHERE statename IN ('Enqueued', 'Scheduled', 'Processing'))
             + (SELECT count(*) FROM client_sync_quartz.qrtz_triggers)
        """;

    /// <summary>One row for each client.</summary>
    public const string ByClient =
        """
        SELECT   client_id,
                 (SELECT count(*) FROM strike_reports r WHERE r.client_id = c.client_id) AS reports,
                 (SELECT count(*) FROM client_sync_runs r WHERE r.client_id = c.client_id) AS runs,
                 (SELECT count(*) FROM client_sync_refusals r WHERE r.client_id = c.client_id AND reason LIKE 'Waiting%') AS waits,
                 (SELECT count(*) FROM client_sync_refusals r WHERE r.client_id = c.client_id AND reason LIKE 'Skipped%') AS skipped,
                 (SELECT count(*) FROM client_sync_refusals r WHERE r.client_id = c.client_id AND reason LIKE 'Rescheduled%') AS rescheduled,
                 (SELECT count(*) FROM client_sync_refusals r WHERE r.client_id = c.client_id AND reason LIKE 'Failed%') AS failed
        FROM     (SELECT DISTINCT client_id FROM client_sync_runs) c
        ORDER BY client_id
        """;

    /// <summary>From the end of a run to the beginning of the next one of the same client, in milliseconds: the median.</summary>
    public const string MedianGap =
        """
        SELECT coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - ended_before) * 1000), 0)
        FROM   (SELECT started_at, lag(ended_at) OVER (PARTITION BY client_id ORDER BY started_at) AS ended_before FROM client_sync_runs) r
        WHERE  ended_before IS NOT NULL
        """;

    /// <summary>
    /// The share of the time in which the lock of a client was free although a run of the client waited for it. Counted from the first wait of a client to the
    /// start of its last run: all runs of a client are offered at once, so in this time one of them waits.
    /// </summary>
    public const string FreeWhileWaiting =
        """
        WITH waiting AS (
                 SELECT   w.client_id, min(w.at) AS since, (SELECT max(started_at) FROM client_sync_runs r WHERE r.client_id = w.client_id) AS until
                 FROM     client_sync_refusals w
                 WHERE    w.reason LIKE 'Waiting%'
                 GROUP BY w.client_id),
             span AS (SELECT * FROM waiting WHERE until > since),
             held AS (
                 SELECT sum(extract(epoch FROM least(r.ended_at, s.until) - greatest(r.started_at, s.since))) AS seconds
                 FROM   span s
                 JOIN   client_sync_runs r USING (client_id)
                 WHERE  r.ended_at > s.since
                 AND    r.started_at < s.until)
        SELECT coalesce(1 - (SELECT seconds FROM held) / nullif(sum(extract(epoch FROM until - since)), 0), 0)::float8
        FROM   span
        """;

    /// <summary>What went wrong: reports imported more than once, and runs that began before an earlier one of the same client had ended.</summary>
    public const string CountDuplicates = "SELECT count(*) - count(DISTINCT report_id) FROM strike_reports";

    public const string CountOverlaps =
        """
        SELECT count(*)
        FROM   client_sync_runs earlier
        JOIN   client_sync_runs later USING (client_id)
        WHERE  later.run_id > earlier.run_id
        AND    later.started_at < earlier.ended_at
        AND    earlier.started_at < later.ended_at
        """;
}

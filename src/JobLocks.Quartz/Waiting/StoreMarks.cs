using System.Security.Cryptography;
using Npgsql;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// Where a job store is, or was before it was restored: rows of ours in Quartz's own table of locks, which no Clear empties and no dashboard shows. All
/// nodes read them, so one that may not ask for the number of its cluster has it from the others. Used by one thread at a time.
/// </summary>
internal sealed class StoreMarks(NpgsqlConnection connection, string scheduler, string tablePrefix)
{
    // The column has room for 40 characters.
    private const string Prefix = "JOBLOCKS ";
    private const char Invented = 'r';

    // {0} is Quartz's table prefix. Only its table is found through the search path of the connection, as Quartz finds it: every other name stands with its schema, so that no
    // function, operator or type of another role can run in its place.
    private const string Read =
        """
        SELECT pg_catalog.split_part(m.mark, '/', 1), pg_catalog.split_part(m.mark, '/', 2),
               EXISTS (SELECT FROM pg_catalog.pg_database AS d WHERE d.oid::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.split_part(m.mark, '/', 2))
        FROM   (SELECT pg_catalog.substr(lock_name, pg_catalog.length($2) OPERATOR(pg_catalog.+) 1) AS mark
                FROM   {0}LOCKS
                WHERE  sched_name OPERATOR(pg_catalog.=) $1
                AND    pg_catalog.starts_with(lock_name, $2)) AS m
        """;

    private const string Write = "INSERT INTO {0}LOCKS (sched_name, lock_name) VALUES ($1, $2) ON CONFLICT DO NOTHING";

    private List<Mark> _marks = [];
    private string _own = "";

    /// <summary>The number of the cluster as all nodes call it, which is written down where it is not yet.</summary>
    /// <param name="database">The number of the database.</param>
    /// <param name="cluster">The number of the cluster; null where it cannot be asked for.</param>
    /// <param name="stop">Gives up.</param>
    public async ValueTask<string> OwnAsync(string database, string? cluster, CancellationToken stop)
    {
        _marks = await ReadAsync(stop).ConfigureAwait(false);
        if (cluster is not null)
        {
            if (!_marks.Exists(mark => mark.IsOf(cluster) && mark.IsIn(database))) await TryWriteAsync(cluster, database, stop).ConfigureAwait(false);
            return _own = cluster;
        }

        if (!_marks.Exists(mark => mark.IsIn(database)))
        {
            await WriteAsync(Invented + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(7)), database, stop).ConfigureAwait(false);
            _marks = await ReadAsync(stop).ConfigureAwait(false);
        }

        // Numbers of clusters grow with the time at which they were made, and a restored store is in the younger one. Where two nodes invented one at the
        // same time, both take the same.
        var here = _marks.Where(mark => mark.IsIn(database)).ToLookup(static mark => mark.IsInvented, static mark => mark.Cluster);
        return _own = here[false].MaxBy(static name => (name.Length, name), Comparer<(int, string)>.Create(Compare)) ?? here[true].Min(StringComparer.Ordinal)!;
    }

    /// <summary>What nodes may call the cluster that had to invent a number for it.</summary>
    public IEnumerable<string> OthersIn(string database) => _marks.Where(mark => mark.IsIn(database) && mark.IsInvented && !mark.IsOf(_own)).Select(static mark => mark.Cluster);

    /// <summary>Cluster and database of the stores that this one was restored from, where they are not known to be still there.</summary>
    public IEnumerable<string> Origins(string database) => _marks
        .Where(mark => mark.IsIn(database) ? !mark.IsInvented && !mark.IsOf(_own) : !(mark.IsThere && (mark.IsInvented || mark.IsOf(_own))))
        .Select(static mark => $"{mark.Cluster}/{mark.Database}");

    private static int Compare((int Length, string Name) one, (int Length, string Name) other) =>
        one.Length == other.Length ? string.CompareOrdinal(one.Name, other.Name) : one.Length.CompareTo(other.Length);

    private async ValueTask<List<Mark>> ReadAsync(CancellationToken stop)
    {
        var found = await StoreInPostgres.AskAsync(
            connection,
            InStore(Read),
            static row => new Mark(row.GetString(0), row.GetString(1), row.GetBoolean(2)),
            stop,
            scheduler,
            Prefix).ConfigureAwait(false);
        return found.FindAll(static mark => mark.Cluster.Length > 0 && mark.Database.Length > 0);
    }

    /// <summary>Only other nodes need it.</summary>
    private async ValueTask TryWriteAsync(string cluster, string database, CancellationToken stop)
    {
        try
        {
            await WriteAsync(cluster, database, stop).ConfigureAwait(false);
        }
        catch (PostgresException refused) when (StoreInPostgres.IsRefused(refused))
        {
            // The role may only read this table.
        }
    }

    private async ValueTask WriteAsync(string cluster, string database, CancellationToken stop) => await StoreInPostgres.AskAsync(
        connection,
        InStore(Write),
        static _ => 0,
        stop,
        scheduler,
        $"{Prefix}{cluster}/{database}").ConfigureAwait(false);

    private string InStore(string sql) => sql.Replace("{0}", tablePrefix, StringComparison.Ordinal);

    private sealed record Mark(string Cluster, string Database, bool IsThere)
    {
        public bool IsInvented => Cluster[0] == Invented;

        public bool IsOf(string cluster) => string.Equals(Cluster, cluster, StringComparison.Ordinal);

        public bool IsIn(string database) => string.Equals(Database, database, StringComparison.Ordinal);
    }
}

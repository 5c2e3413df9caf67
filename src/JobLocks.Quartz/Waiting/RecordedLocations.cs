using System.Security.Cryptography;
using Npgsql;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// Records where a job store is, and where it was before it was restored: additional rows in Quartz's table of locks, which Quartz does not clear and no
/// dashboard shows. All nodes read them, so a node that may not read the system identifier of its cluster gets it from the others. Not thread-safe.
/// </summary>
internal sealed class RecordedLocations(NpgsqlConnection connection, string scheduler, string tablePrefix)
{
    // The column has 40 characters.
    private const string Prefix = "JOBLOCKS ";
    private const char GeneratedPrefix = 'r';

    // {0} is Quartz's table prefix. Quartz's table is found through the search path of the connection, as Quartz itself finds it. Every other name is
    // schema-qualified, so that no function, operator or type of another role can run instead.
    private const string Read =
        """
        SELECT pg_catalog.split_part(l.location, '/', 1), pg_catalog.split_part(l.location, '/', 2),
               EXISTS (SELECT FROM pg_catalog.pg_database AS d WHERE d.oid::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.split_part(l.location, '/', 2))
        FROM   (SELECT pg_catalog.substr(lock_name, pg_catalog.length($2) OPERATOR(pg_catalog.+) 1) AS location
                FROM   {0}LOCKS
                WHERE  sched_name OPERATOR(pg_catalog.=) $1
                AND    pg_catalog.starts_with(lock_name, $2)) AS l
        """;

    private const string Write = "INSERT INTO {0}LOCKS (sched_name, lock_name) VALUES ($1, $2) ON CONFLICT DO NOTHING";

    private List<Location> _locations = [];
    private string _cluster = "";

    /// <summary>The system identifier of the cluster that all nodes use. Records it if it is not recorded yet.</summary>
    /// <param name="database">The OID of the database.</param>
    /// <param name="cluster">The system identifier of the cluster; null if it cannot be read.</param>
    /// <param name="stop">Cancels the operation.</param>
    public async ValueTask<string> ClusterAsync(string database, string? cluster, CancellationToken stop)
    {
        _locations = await ReadAsync(stop).ConfigureAwait(false);
        if (cluster is not null)
        {
            if (!_locations.Exists(location => location.IsOf(cluster) && location.IsIn(database))) await TryWriteAsync(cluster, database, stop).ConfigureAwait(false);
            return _cluster = cluster;
        }

        if (!_locations.Exists(location => location.IsIn(database)))
        {
            await WriteAsync(GeneratedPrefix + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(7)), database, stop).ConfigureAwait(false);
            _locations = await ReadAsync(stop).ConfigureAwait(false);
        }

        // A system identifier grows with the creation time of its cluster, and a restored store is in the younger cluster. If two nodes generated identifiers
        // at the same time, both choose the same one of them.
        var inDatabase = _locations.Where(location => location.IsIn(database)).ToLookup(static location => location.IsGenerated, static location => location.Cluster);
        return _cluster = inDatabase[false].MaxBy(static name => (name.Length, name), Comparer<(int, string)>.Create(Compare)) ?? inDatabase[true].Min(StringComparer.Ordinal)!;
    }

    /// <summary>The generated identifiers that other nodes may use for the cluster.</summary>
    public IEnumerable<string> GeneratedIn(string database) => _locations.Where(location => location.IsIn(database) && location.IsGenerated && !location.IsOf(_cluster)).Select(static location => location.Cluster);

    /// <summary>Cluster and database of the stores from which this one was restored.</summary>
    public IEnumerable<string> Origins(string database) => _locations
        .Where(location => location.IsIn(database) ? IsFormerCluster(location) : IsFormerDatabase(location))
        .Select(static location => $"{location.Cluster}/{location.Database}");

    /// <summary>Whether a location in this database names another cluster, from which the store was restored.</summary>
    private bool IsFormerCluster(Location location) => !location.IsGenerated && !location.IsOf(_cluster);

    /// <summary>
    /// Whether a location in another database names one from which the store was restored. Excludes a database that still exists in this cluster: there this store
    /// is the copy.
    /// </summary>
    private bool IsFormerDatabase(Location location) => !(location.DatabaseExists && (location.IsGenerated || location.IsOf(_cluster)));

    private static int Compare((int Length, string Name) left, (int Length, string Name) right) =>
        left.Length == right.Length ? string.CompareOrdinal(left.Name, right.Name) : left.Length.CompareTo(right.Length);

    private async ValueTask<List<Location>> ReadAsync(CancellationToken stop)
    {
        var found = await StoreInPostgres.AskAsync(
            connection,
            InStore(Read),
            static row => new Location(row.GetString(0), row.GetString(1), row.GetBoolean(2)),
            stop,
            scheduler,
            Prefix).ConfigureAwait(false);
        return found.FindAll(static location => location.Cluster.Length > 0 && location.Database.Length > 0);
    }

    /// <summary>Records the identifier, which only other nodes need. Does nothing without the right to write.</summary>
    private async ValueTask TryWriteAsync(string cluster, string database, CancellationToken stop)
    {
        try
        {
            await WriteAsync(cluster, database, stop).ConfigureAwait(false);
        }
        catch (PostgresException refused) when (StoreInPostgres.IsRefused(refused))
        {
            // The role may not write to this table.
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

    private sealed record Location(string Cluster, string Database, bool DatabaseExists)
    {
        public bool IsGenerated => Cluster[0] == GeneratedPrefix;

        public bool IsOf(string cluster) => string.Equals(Cluster, cluster, StringComparison.Ordinal);

        public bool IsIn(string database) => string.Equals(Database, database, StringComparison.Ordinal);
    }
}

namespace JobLocks.Hangfire;

/// <summary>Where a storage in PostgreSQL is: a copy of it is somewhere else.</summary>
/// <param name="Cluster">The system identifier of the cluster; null where the role may not read it.</param>
/// <param name="DatabaseOid">The number of the database in the cluster.</param>
/// <param name="Database">The name of the database.</param>
/// <param name="SchemaOid">The number of the schema in the database.</param>
/// <param name="Schema">The name of the schema.</param>
internal sealed record StoragePlace(string? Cluster, string DatabaseOid, string Database, string SchemaOid, string Schema)
{
    /// <summary>Whether a database of the cluster has the number that the storage noted.</summary>
    public bool HasNotedDatabase { get; init; }

    /// <summary>Whether a schema of this database has the number that the storage noted.</summary>
    public bool HasNotedSchema { get; init; }

    /// <summary>What the storage noted of itself; null where it noted nothing.</summary>
    public static StoragePlace? Noted(Dictionary<string, string> entries) =>
        entries.TryGetValue("database.oid", out var databaseOid) && entries.TryGetValue("database", out var database)
        && entries.TryGetValue("schema.oid", out var schemaOid) && entries.TryGetValue("schema", out var schema)
            ? new(entries.GetValueOrDefault("cluster") is { Length: > 0 } cluster ? cluster : null, databaseOid, database, schemaOid, schema)
            : null;

    /// <summary>What the storage notes.</summary>
    public IEnumerable<KeyValuePair<string, string>> ToEntries() =>
        [new("cluster", Cluster ?? ""), new("database.oid", DatabaseOid), new("database", Database), new("schema.oid", SchemaOid), new("schema", Schema)];

    /// <summary>
    /// Whether a storage that noted that place is the one that is here now. A renamed database has its number still; one that was dropped and restored has its
    /// name, and no database has its number. A copy has another name, or the original is still there under its number.
    /// </summary>
    public bool IsPlaceOf(StoragePlace noted)
    {
        if (Cluster is not null && noted.Cluster is not null && !Same(Cluster, noted.Cluster)) return false;
        // Schemas are numbered anew where the database is another one.
        if (!Same(DatabaseOid, noted.DatabaseOid)) return Same(Database, noted.Database) && !HasNotedDatabase && Same(Schema, noted.Schema);

        return Same(SchemaOid, noted.SchemaOid) || (Same(Schema, noted.Schema) && !HasNotedSchema);
    }

    /// <summary>What the storage is to note now, where this place is its own.</summary>
    public StoragePlace After(StoragePlace noted) => this with { Cluster = Cluster ?? noted.Cluster, HasNotedDatabase = false, HasNotedSchema = false };

    private static bool Same(string one, string other) => string.Equals(one, other, StringComparison.Ordinal);
}

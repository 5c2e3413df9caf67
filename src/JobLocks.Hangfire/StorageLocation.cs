namespace JobLocks.Hangfire;

/// <summary>Where a storage in PostgreSQL is. A copy of the storage has another location.</summary>
/// <param name="Cluster">The system identifier of the cluster; null if the role may not read it.</param>
/// <param name="DatabaseOid">The OID of the database.</param>
/// <param name="Database">The name of the database.</param>
/// <param name="SchemaOid">The OID of the schema in the database.</param>
/// <param name="Schema">The name of the schema.</param>
internal sealed record StorageLocation(string? Cluster, string DatabaseOid, string Database, string SchemaOid, string Schema)
{
    /// <summary>Whether the cluster has a database with the OID that is recorded in the storage.</summary>
    public bool RecordedDatabaseExists { get; init; }

    /// <summary>Whether this database has a schema with the OID that is recorded in the storage.</summary>
    public bool RecordedSchemaExists { get; init; }

    /// <summary>The location that is recorded in the storage; null if none is recorded.</summary>
    public static StorageLocation? Recorded(Dictionary<string, string> entries) =>
        entries.TryGetValue("database.oid", out var databaseOid) && entries.TryGetValue("database", out var database)
        && entries.TryGetValue("schema.oid", out var schemaOid) && entries.TryGetValue("schema", out var schema)
            ? new(entries.GetValueOrDefault("cluster") is { Length: > 0 } cluster ? cluster : null, databaseOid, database, schemaOid, schema)
            : null;

    /// <summary>The fields that are recorded in the storage.</summary>
    public IEnumerable<KeyValuePair<string, string>> ToEntries() =>
        [new("cluster", Cluster ?? ""), new("database.oid", DatabaseOid), new("database", Database), new("schema.oid", SchemaOid), new("schema", Schema)];

    /// <summary>
    /// Whether the recorded location and this one belong to the same storage. A renamed database keeps its OID. A database that was dropped and restored
    /// keeps its name, and no database has the recorded OID. A copy has another name, or the original database still exists with the recorded OID.
    /// </summary>
    public bool IsSameStorageAs(StorageLocation recorded)
    {
        if (Cluster is not null && recorded.Cluster is not null && !Same(Cluster, recorded.Cluster)) return false;
        // In another database the schema has another OID, so only the names can be compared.
        if (!Same(DatabaseOid, recorded.DatabaseOid)) return Same(Database, recorded.Database) && !RecordedDatabaseExists && Same(Schema, recorded.Schema);

        return Same(SchemaOid, recorded.SchemaOid) || (Same(Schema, recorded.Schema) && !RecordedSchemaExists);
    }

    /// <summary>The location to record next, if this is the location of the same storage. Keeps a recorded cluster that could not be read this time.</summary>
    public StorageLocation MergedWith(StorageLocation recorded) => this with { Cluster = Cluster ?? recorded.Cluster, RecordedDatabaseExists = false, RecordedSchemaExists = false };

    private static bool Same(string left, string right) => string.Equals(left, right, StringComparison.Ordinal);
}

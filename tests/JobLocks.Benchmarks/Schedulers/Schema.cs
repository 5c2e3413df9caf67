using Npgsql;

namespace JobLocks.Benchmarks.Schedulers;

/// <summary>A schema for one turn, so that nobody works in the remains of another.</summary>
internal sealed class Schema : IAsyncDisposable
{
    private readonly Database _database;

    private Schema(Database database, string application)
    {
        _database = database;
        Name = $"turn_{Guid.NewGuid():N}";
        ConnectionString = new NpgsqlConnectionStringBuilder(database.ConnectionString(application)) { SearchPath = Name }.ConnectionString;
    }

    public string Name { get; }

    /// <summary>Leads into the schema, through a pool of its own.</summary>
    public string ConnectionString { get; }

    public static async Task<Schema> CreateAsync(Database database, string application, CancellationToken stop)
    {
        var schema = new Schema(database, application);
        await database.AskAsync($"CREATE SCHEMA {schema.Name}", stop);
        return schema;
    }

    public async ValueTask DisposeAsync()
    {
        await using var anyOfThem = new NpgsqlConnection(ConnectionString);
        NpgsqlConnection.ClearPool(anyOfThem);
        await _database.AskAsync($"DROP SCHEMA {Name} CASCADE", CancellationToken.None);
    }
}

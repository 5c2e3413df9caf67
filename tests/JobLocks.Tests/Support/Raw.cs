using Npgsql;

namespace JobLocks.Tests.Support;

/// <summary>PostgreSQL without JobLocks: sessions of its own, unpooled.</summary>
internal static class Raw
{
    public static async Task<NpgsqlConnection> OpenAsync(string connectionString, CancellationToken stop)
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        await connection.OpenAsync(stop);
        return connection;
    }

    public static async Task<object?> AskAsync(this NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(stop);
    }
}

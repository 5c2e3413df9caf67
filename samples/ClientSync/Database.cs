using Npgsql;

namespace ClientSync;

/// <summary>One statement, one answer.</summary>
internal static class Database
{
    public static async Task<object?> AskAsync(this NpgsqlConnection connection, string sql, CancellationToken stop, params object[] parameters)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        return await command.ExecuteScalarAsync(stop);
    }

    public static async Task<object?> AskAsync(this NpgsqlDataSource database, string sql, CancellationToken stop, params object[] parameters)
    {
        await using var connection = await database.OpenConnectionAsync(stop);
        return await connection.AskAsync(sql, stop, parameters);
    }
}

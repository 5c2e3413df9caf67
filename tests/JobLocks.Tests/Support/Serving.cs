using JobLocks.Postgres.WaitQueue;
using Npgsql;

namespace JobLocks.Tests.Support;

/// <summary>A process that serves a store, as far as others can see.</summary>
internal static class Serving
{
    /// <summary>Shows a store as served for as long as the connection is open.</summary>
    public static async Task<NpgsqlConnection> ShowAsync(string connectionString, string store)
    {
        var connection = await Raw.OpenAsync(connectionString, CancellationToken.None);
        await using var command = new NpgsqlCommand(PresenceSql.Announce, connection) { Parameters = { new() { Value = $"\"{store}\"", NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Jsonb } } };
        await command.ExecuteScalarAsync();
        return connection;
    }
}

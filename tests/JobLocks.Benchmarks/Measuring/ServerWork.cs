using System.Globalization;
using Npgsql;

namespace JobLocks.Benchmarks.Measuring;

/// <summary>What the server did for the schedulers: by <c>pg_stat_statements</c> and <c>pg_stat_database</c>.</summary>
/// <param name="Transactions">How many were committed.</param>
/// <param name="Statements">The statements, those with the most time first.</param>
internal sealed record ServerWork(double Transactions, IReadOnlyList<StatementWork> Statements)
{
    private const string Begin = "SELECT pg_stat_statements_reset(), pg_stat_reset()";

    private const string OfStatements =
        """
        SELECT   query, sum(calls)::float8, sum(total_exec_time + total_plan_time)
        FROM     pg_stat_statements
        JOIN     pg_database ON pg_database.oid = dbid
        WHERE    datname = current_database()
        AND      query NOT LIKE '%pg_stat_statements%'
        AND      query NOT LIKE '%pg_stat_database%'
        GROUP BY query
        ORDER BY 3 DESC
        """;

    private const string OfTransactions = "SELECT xact_commit::float8 FROM pg_stat_database WHERE datname = current_database()";

    /// <summary>Forgets what was done until now.</summary>
    public static async Task BeginAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(Begin, connection);
        await command.ExecuteNonQueryAsync(stop);
    }

    /// <summary>What was done since <see cref="BeginAsync"/>.</summary>
    public static async Task<ServerWork> ReadAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var statements = new List<StatementWork>();
        await using (var command = new NpgsqlCommand(OfStatements, connection))
        await using (var reader = await command.ExecuteReaderAsync(stop))
        {
            while (await reader.ReadAsync(stop)) statements.Add(new(reader.GetString(0), reader.GetDouble(1), reader.GetDouble(2)));
        }

        await using var transactions = new NpgsqlCommand(OfTransactions, connection);
        return new(Convert.ToDouble(await transactions.ExecuteScalarAsync(stop), CultureInfo.InvariantCulture), statements);
    }
}

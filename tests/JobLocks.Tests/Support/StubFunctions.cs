using JobLocks.Testing.Postgres;

namespace JobLocks.Tests.Support;

/// <summary>Databases in which lock functions of the server are replaced, as by an engine that has only their names.</summary>
internal static class StubFunctions
{
    public const string Acquires = "pg_try_advisory_lock(bigint), pg_try_advisory_lock_shared(bigint), pg_try_advisory_lock(int, int), pg_try_advisory_lock_shared(int, int)";

    public const string AcquiresInTransactions =
        "pg_try_advisory_xact_lock(bigint), pg_try_advisory_xact_lock_shared(bigint), pg_try_advisory_xact_lock(int, int), pg_try_advisory_xact_lock_shared(int, int)";

    public const string Releases = "pg_advisory_unlock(bigint), pg_advisory_unlock_shared(bigint), pg_advisory_unlock(int, int), pg_advisory_unlock_shared(int, int)";

    /// <summary>The functions of such a list.</summary>
    public static IEnumerable<string> Split(string functions) => functions.Replace("), ", ")|", StringComparison.Ordinal).Split('|');

    /// <summary>A new database in which these functions have this body. In the body, REAL(...) calls the function of the server with the same arguments.</summary>
    public static async Task<string> CreateDatabaseAsync(PostgresServer server, string functions, string body, string language = "sql")
    {
        var database = await server.CreateDatabaseAsync("stub");
        await ReplaceAsync(database, functions, body, language);
        return database;
    }

    /// <summary>Replaces functions in a database.</summary>
    public static async Task ReplaceAsync(string database, string functions, string body, string language = "sql")
    {
        foreach (var function in Split(functions))
        {
            var name = function[..function.IndexOf('(', StringComparison.Ordinal)];
            var real = $"pg_catalog.real_{name}({(function.Contains(',', StringComparison.Ordinal) ? "$1, $2" : "$1")})";
            await LockTable.AskAsync(
                database,
                $"""
                SET allow_system_table_mods = on;
                ALTER FUNCTION pg_catalog.{function} RENAME TO real_{name};
                CREATE FUNCTION pg_catalog.{function} RETURNS boolean LANGUAGE {language} VOLATILE AS $stub$ {body.Replace("REAL", real, StringComparison.Ordinal)} $stub$
                """);
        }
    }
}

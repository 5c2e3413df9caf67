using System.Data.Common;
using System.Reflection;
using Hangfire;
using Npgsql;

namespace JobLocks.Hangfire;

/// <summary>
/// Queries the server of a Hangfire.PostgreSql storage over one of the storage's own connections, for example for the location of the storage. The connection
/// string is not enough: it may name no database, or the database of a pooler, and an application may have its own connection factory.
/// </summary>
/// <remarks>
/// JobLocks does not reference Hangfire.PostgreSql, and the members used here are not public. With a version that names them differently, no location is known:
/// the storage is identified only by the name that is kept in it, and its jobs are read one by one.
/// </remarks>
internal static class StorageInPostgres
{
    // The search path of the connection is the application's. Every name is schema-qualified, so that no function, operator or type of another role can run
    // instead.
    private const string ReadLocation =
        """
        SELECT d.oid::pg_catalog.text, d.datname::pg_catalog.text, n.oid::pg_catalog.text, n.nspname::pg_catalog.text,
               EXISTS (SELECT FROM pg_catalog.pg_database AS o WHERE o.oid::pg_catalog.text OPERATOR(pg_catalog.=) $2),
               EXISTS (SELECT FROM pg_catalog.pg_namespace AS o WHERE o.oid::pg_catalog.text OPERATOR(pg_catalog.=) $3)
        FROM   pg_catalog.pg_database AS d
        CROSS  JOIN pg_catalog.pg_namespace AS n
        WHERE  d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
        AND    n.nspname OPERATOR(pg_catalog.=) $1
        """;

    private const string Cluster = "SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()";

    private const BindingFlags Internal = BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public | BindingFlags.DeclaredOnly;

    /// <summary>Reads the location of a storage.</summary>
    /// <param name="storage">The storage.</param>
    /// <param name="recorded">The location that is recorded in the storage.</param>
    /// <returns>Null for storages that are not in PostgreSQL.</returns>
    /// <exception cref="Exception">The server cannot be asked.</exception>
    public static StorageLocation? LocationOf(JobStorage storage, StorageLocation? recorded) => Query(storage, (connection, schema) => Query(connection, schema, recorded));

    /// <summary>Calls <paramref name="ask"/> with one of the storage's own connections and the storage's schema.</summary>
    /// <returns>Null for storages that are not in PostgreSQL.</returns>
    /// <exception cref="Exception">The server cannot be asked.</exception>
    public static T? Query<T>(JobStorage storage, Func<NpgsqlConnection, string, T?> ask)
        where T : class
    {
        if (TypeOf(storage) is not { } type || SchemaOf(type, storage) is not { } schema) return null;

        var useConnection = type.GetMethods(Internal).FirstOrDefault(static method =>
            method is { Name: "UseConnection", IsGenericMethodDefinition: true } && method.GetGenericArguments().Length == 1
            && method.GetParameters() is [{ } dedicated, { } act] && dedicated.ParameterType == typeof(DbConnection)
            && act.ParameterType is { IsGenericType: true } delegated && delegated.GetGenericTypeDefinition() == typeof(Func<,>) && delegated.GetGenericArguments()[0] == typeof(DbConnection));
        Func<DbConnection, T?> askNpgsql = connection => connection is NpgsqlConnection npgsql ? ask(npgsql, schema) : null;
        return useConnection?.MakeGenericMethod(typeof(T)).Invoke(storage, BindingFlags.DoNotWrapExceptions, binder: null, [null, askNpgsql], culture: null) as T;
    }

    /// <summary>The type of a Hangfire.PostgreSql storage; null for others.</summary>
    public static Type? TypeOf(JobStorage storage)
    {
        var type = storage.GetType();
        while (type is not null && !string.Equals(type.FullName, "Hangfire.PostgreSql.PostgreSqlStorage", StringComparison.Ordinal)) type = type.BaseType;
        return type;
    }

    private static string? SchemaOf(Type type, JobStorage storage) =>
        type.GetProperty("Options", Internal)?.GetValue(storage) is { } options ? options.GetType().GetProperty("SchemaName")?.GetValue(options) as string : null;

    private static StorageLocation? Query(NpgsqlConnection connection, string schema, StorageLocation? recorded)
    {
        using var command = new NpgsqlCommand(ReadLocation, connection)
        {
            Parameters =
            {
                new NpgsqlParameter<string> { TypedValue = schema },
                new NpgsqlParameter<string> { TypedValue = recorded?.DatabaseOid ?? "" },
                new NpgsqlParameter<string> { TypedValue = recorded?.SchemaOid ?? "" },
            },
        };
        using var row = command.ExecuteReader();
        if (!row.Read()) return null;

        var location = new StorageLocation(null, row.GetString(0), row.GetString(1), row.GetString(2), row.GetString(3)) { RecordedDatabaseExists = row.GetBoolean(4), RecordedSchemaExists = row.GetBoolean(5) };
        row.Close();
        return location with { Cluster = ReadCluster(connection) };
    }

    private static string? ReadCluster(NpgsqlConnection connection)
    {
        try
        {
            using var command = new NpgsqlCommand(Cluster, connection);
            return command.ExecuteScalar() as string;
        }
        catch (PostgresException refused) when (refused.SqlState is PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.UndefinedFunction)
        {
            return null;
        }
    }
}

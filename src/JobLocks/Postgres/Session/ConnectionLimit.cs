using JobLocks.Locks;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Distinguishes a limit of connections that can never be met from a server that is full at the moment. The first is a mistake of the configuration, and stops the
/// host. The second ends by itself, and is tried again.
/// </summary>
internal static class ConnectionLimit
{
    // The limit applies to the role that logged in. A superuser and a limit of -1 are not limited. The connection may still have the search path of its role.
    private const string Read =
        """
        SELECT r.rolname, r.rolconnlimit, d.datname, d.datconnlimit
        FROM   pg_catalog.pg_roles AS r
        CROSS  JOIN pg_catalog.pg_database AS d
        WHERE  r.rolname OPERATOR(pg_catalog.=) session_user
        AND    d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
        """;

    /// <summary>Opens a second connection.</summary>
    /// <param name="first">The first connection, which counts for the limit.</param>
    /// <param name="connect">Opens the second one.</param>
    /// <exception cref="UnusableServerException">The role or the database can have one connection only.</exception>
    /// <exception cref="NpgsqlException">The server cannot be reached, or has no free connection now.</exception>
    public static NpgsqlConnection OpenSecond(NpgsqlConnection first, Func<NpgsqlConnection> connect)
    {
        try
        {
            return connect();
        }
        catch (PostgresException full) when (string.Equals(full.SqlState, PostgresErrorCodes.TooManyConnections, StringComparison.Ordinal))
        {
            ThrowIfOne(first);
            throw;
        }
    }

    private static void ThrowIfOne(NpgsqlConnection first)
    {
        using var command = new NpgsqlCommand(Read, first);
        using var reader = command.ExecuteReader();
        if (!reader.Read()) return;

        if (reader.GetInt32(1) == 1) throw UnusableServerException.RoleHasOneConnection(reader.GetString(0));
        if (reader.GetInt32(3) == 1) throw UnusableServerException.DatabaseHasOneConnection(reader.GetString(2));
    }
}

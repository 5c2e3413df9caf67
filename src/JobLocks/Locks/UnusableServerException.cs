using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Locks;

/// <summary>The server or the schema of JobLocks cannot be used as it is: a person must change something.</summary>
internal sealed class UnusableServerException(string message) : Exception(DisplayText.Message(message))
{
    private const string PoolerRemedy = "Use the pooler's session mode, or give JobLocks a connection string past the pooler, to PostgreSQL's own port.";

    public static UnusableServerException PoolerChangedBackend(int from, int to) => new(
        $"it is reached through a pooler in transaction mode (the backend changed from {from} to {to}), where a lock belongs to no client. {PoolerRemedy}");

    public static UnusableServerException PoolerSharesBackend(int backend) => new(
        $"it is reached through a pooler in transaction mode (two connections have the backend {backend}), where a lock belongs to no client. {PoolerRemedy}");

    public static UnusableServerException PoolerRefusesTransactions() => new(
        $"it is reached through a pooler in statement mode, where a lock belongs to no client. {PoolerRemedy}");

    public static UnusableServerException TwoServers() => new(
        "two connections to it reach two servers, and each server has locks of its own. Name one server in the connection string of JobLocks, "
        + "the primary, without a load balancer in front of several servers or nodes.");

    public static UnusableServerException DoesNotExclude(string fault, string engine) => new(
        $"its advisory locks do not exclude each other: {fault} ({engine}). "
        + "Give JobLocks the connection string of a PostgreSQL server, or turn on the advisory locks of this engine.");

    public static UnusableServerException EngineLacks(string error, string engine) => new(
        $"it cannot run a statement that JobLocks needs ({error}; {engine}). Give JobLocks the connection string of a PostgreSQL server, or use an engine that can run it.");

    public static UnusableServerException RoleHasOneConnection(string role) => OneConnection("role", role, "ALTER ROLE");

    public static UnusableServerException DatabaseHasOneConnection(string database) => OneConnection("database", database, "ALTER DATABASE");

    public static UnusableServerException ReadOnly() => new(
        "it only reads (transaction_read_only stays on), and its locks may be unknown to the server that writes. Name the primary, or all servers: Host=one,two.");

    /// <summary>
    /// Whether the role lacks CONNECT on the database. Recognised by the routine in the server's source, because the message text is in the server's
    /// language.
    /// </summary>
    public static bool IsAboutConnect(PostgresException refused) => refused is { SqlState: PostgresErrorCodes.InsufficientPrivilege, Routine: "CheckMyDatabase" };

    public static UnusableServerException MayNotConnect(NpgsqlConnection connection, PostgresException refused) => new(
        $"this role may not connect ({DisplayText.Name(refused.MessageText)}). GRANT CONNECT ON DATABASE {Quoted(connection.Database)} TO {Quoted(connection.UserName)}");

    private static string Quoted(string? name) => name is null ? "that role" : DisplayText.Name(new NpgsqlCommandBuilder().QuoteIdentifier(name));

    public static UnusableServerException Standby() => new(
        "it is a standby, whose locks the primary does not see. Name the primary, or all servers: Host=one,two.");

    public static UnusableServerException TooOld(int version) => new(
        $"it has version {version / 10_000}, and JobLocks needs 12 or later. Use a later server.");

    private static UnusableServerException OneConnection(string kind, string name, string change) => new(
        $"the {kind} {DisplayText.Name(name)} can have only 1 connection, and JobLocks needs a second one to prove that its locks exclude each other. "
        + $"{change} {Quoted(name)} CONNECTION LIMIT -1, or a limit of 12 for each process");
}

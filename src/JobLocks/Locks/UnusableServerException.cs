using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Locks;

/// <summary>The server or the schema of JobLocks cannot be used as it is: a person must change something.</summary>
internal sealed class UnusableServerException(string message) : Exception(DisplayText.Message(message))
{
    public static UnusableServerException PoolerChangedBackend(int from, int to) => new(
        $"it is reached through a pooler in transaction mode (the backend changed from {from} to {to}), where a lock belongs to no client. "
        + "Use the pooler's session mode, or give JobLocks a connection string past the pooler, to PostgreSQL's own port.");

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
}

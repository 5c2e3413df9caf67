using System.Security.Authentication;
using JobLocks.Locks;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>Describes a server error with its remedy, and whether a setting must be changed. No message contains a secret.</summary>
internal static class ServerTrouble
{
    // The driver has no error code for this.
    private const string NoTls = "SSL connection requested. No SSL enabled connection";

    public static JobLocksUnavailableException Describe(string server, Exception cause) =>
        new($"PostgreSQL at {server} cannot be asked for locks: {DisplayText.Cut(MessageOf(cause), DisplayText.LongestMessage / 2).TrimEnd('.')}.{Remedy(cause)}", cause) { NeedsChange = NeedsChange(cause) };

    /// <summary>Without the details that the driver adds in further lines.</summary>
    private static string MessageOf(Exception cause) => cause is PostgresException answer ? $"{answer.SqlState}: {answer.MessageText}" : cause.Message;

    private static string Remedy(Exception cause) => IsWithoutTls(cause)
        ? " Have the server accept TLS, or change SSL Mode in the connection string of JobLocks."
        : RemedyOf((cause as PostgresException)?.SqlState);

    private static string RemedyOf(string? state) => state switch
    {
        PostgresErrorCodes.OutOfMemory => " The lock table is full: no lock was acquired, and held locks stay held. Raise max_locks_per_transaction.",
        PostgresErrorCodes.TooManyConnections => " A process uses 1 connection for its locks and a second one for a moment while it opens that one, 1 for notifications, up to 8 while runs wait, and up to 2 for pages.",
        PostgresErrorCodes.InvalidPassword or PostgresErrorCodes.InvalidAuthorizationSpecification => " Correct user and password in the connection string of JobLocks.",
        PostgresErrorCodes.InvalidCatalogName => " Correct the database in the connection string of JobLocks, or create it.",
        _ => StartOptions.RemedyOf(state) ?? "",
    };

    /// <summary>Whether a person must change a setting. Other errors can end by themselves: the server is starting, or the network is down.</summary>
    private static bool NeedsChange(Exception cause) => cause switch
    {
        UnusableServerException or ArgumentException or NotSupportedException => true,
        PostgresException refused => refused.SqlState is PostgresErrorCodes.InvalidPassword
            or PostgresErrorCodes.InvalidAuthorizationSpecification
            or PostgresErrorCodes.InvalidCatalogName
            or PostgresErrorCodes.InsufficientPrivilege,
        NpgsqlException { InnerException: AuthenticationException } => true,
        _ => IsWithoutTls(cause),
    };

    private static bool IsWithoutTls(Exception cause) => cause is NpgsqlException && cause.Message.StartsWith(NoTls, StringComparison.Ordinal);
}

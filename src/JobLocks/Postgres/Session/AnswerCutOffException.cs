using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// A statement_timeout of the role ended the set-up of a connection between two messages of an answer, and the driver closed the connection.
/// </summary>
internal sealed class AnswerCutOffException(Exception cause)
    : NpgsqlException("The server ended its answer to the set-up of a connection in the middle. The role or the database may set a very low statement_timeout", cause);

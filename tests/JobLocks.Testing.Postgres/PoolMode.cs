namespace JobLocks.Testing.Postgres;

/// <summary>For how long <see cref="PgBouncer"/> gives a client one session of the server.</summary>
public enum PoolMode
{
    /// <summary>Until the client disconnects.</summary>
    Session,

    /// <summary>Until the end of a transaction.</summary>
    Transaction,

    /// <summary>Until the end of a statement. Transactions are refused.</summary>
    Statement,
}

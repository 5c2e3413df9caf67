namespace JobLocks.Postgres.Session;

/// <summary>A statement that is not a lock operation.</summary>
/// <param name="Run">Runs the statement and stores the answer. Called by the thread that uses the connection.</param>
/// <param name="Fail">Reports to the waiting caller that there is no answer.</param>
internal sealed record SessionQuery(Action<SessionConnection> Run, Action<Exception> Fail);

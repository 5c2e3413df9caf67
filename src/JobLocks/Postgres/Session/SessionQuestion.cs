namespace JobLocks.Postgres.Session;

/// <summary>A question of another kind than locks.</summary>
/// <param name="Ask">Asks it on the session's thread.</param>
/// <param name="Fail">Tells the one who waits that there is no answer.</param>
internal sealed record SessionQuestion(Action<SessionConnection> Ask, Action<Exception> Fail);

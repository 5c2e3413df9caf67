using JobLocks.Postgres.Locks;

namespace JobLocks.Postgres.Session;

/// <summary>What the session does next: nothing at all is a heartbeat.</summary>
/// <param name="Operations">All of them in one round trip.</param>
/// <param name="Questions">One after the other.</param>
internal sealed record SessionWork(IReadOnlyList<LockOperation> Operations, IReadOnlyList<SessionQuestion> Questions);

using JobLocks.Postgres.Locks;

namespace JobLocks.Postgres.Session;

/// <summary>The next work of the session. Work without any content is a heartbeat.</summary>
/// <param name="Operations">Lock operations. They are sent in one round trip.</param>
/// <param name="Queries">Other statements. They are run one after the other.</param>
internal sealed record SessionWork(IReadOnlyList<LockOperation> Operations, IReadOnlyList<SessionQuery> Queries);

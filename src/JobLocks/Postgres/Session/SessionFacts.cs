using JobLocks.Postgres.Schema;

namespace JobLocks.Postgres.Session;

/// <summary>What was found out about a session when it was opened.</summary>
/// <param name="Server">Where it is, without secrets.</param>
/// <param name="Backend">The server's process behind it.</param>
/// <param name="IsGuarded">Whether it has the functions that catch a full lock table.</param>
/// <param name="HasWaitQueue">Whether runs may stand in the line.</param>
/// <param name="HasReadModel">Whether it can be written down who holds what.</param>
/// <param name="HasLimits">Whether the limits that processes declare can be compared.</param>
/// <param name="Fence">The sequence of the fencing tokens; 0 for none.</param>
/// <param name="Budget">How many locks this process may have: its share of the server's lock table.</param>
/// <param name="Options">What the process was told.</param>
/// <param name="Owners">Asks whose the schema is.</param>
internal sealed record SessionFacts(
    string Server, int Backend, bool IsGuarded, bool HasWaitQueue, bool HasReadModel, bool HasLimits, uint Fence, long Budget, JobLocksOptions Options, OwnerCheck Owners);

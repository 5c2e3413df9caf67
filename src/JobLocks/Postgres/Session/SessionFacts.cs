using JobLocks.Postgres.Schema;

namespace JobLocks.Postgres.Session;

/// <summary>What is known about a session from its opening.</summary>
/// <param name="Server">The server and database, without secrets.</param>
/// <param name="Backend">The process ID of the server's backend.</param>
/// <param name="IsGuarded">Whether it has the functions that catch a full lock table.</param>
/// <param name="HasWaitQueue">Whether runs can enter the wait queue.</param>
/// <param name="HasReadModel">Whether the session can write to the read model, which shows the holders.</param>
/// <param name="HasLimits">Whether the limits that processes declare can be compared.</param>
/// <param name="HasTimeline">Whether the session can write the runs and the samples that the plots of the pages show.</param>
/// <param name="Fence">The OID of the sequence of the fencing tokens; 0 for none.</param>
/// <param name="LockTableShare">The share of this process: how many entries of the server's lock table it can use.</param>
/// <param name="Options">The options of the process.</param>
/// <param name="Owners">Checks who owns the schema.</param>
internal sealed record SessionFacts(
    string Server, int Backend, bool IsGuarded, bool HasWaitQueue, bool HasReadModel, bool HasLimits, bool HasTimeline, uint Fence, long LockTableShare, JobLocksOptions Options, OwnerCheck Owners);

using JobLocks.Tests.Support;

namespace JobLocks.Tests.Contract;

/// <summary>Locks in PostgreSQL, in a database of the fixture.</summary>
internal sealed class PostgresBackend : ContractBackend
{
    private string _database = "";

    internal override async Task PrepareAsync(string fixture) => _database = await AssemblySetup.Server.CreateDatabaseAsync(fixture);

    internal override IJobLocks Open(Action<JobLocksOptions> configure) => AdvisoryLocks.Connect(_database, configure);

    internal override Task LoseAllAsync(IJobLocks locks) => LockTable.EndSessionsAsync(_database);
}

using Medallion.Threading.Postgres;
using Npgsql;

namespace JobLocks.Benchmarks.Peers;

/// <summary>DistributedLock.Postgres.</summary>
/// <param name="database">Counts its connections.</param>
/// <param name="application">The name of its connections.</param>
/// <param name="isDedicated">True for a connection of its own for each lock; false for the library's default, which shares them.</param>
internal sealed class TheirLocks(Database database, string application, bool isDedicated) : ILockPeer
{
    public const string SharedName = "DistributedLock";
    public const string DedicatedName = "DistributedLock, dedicated";

    private readonly string _connectionString = database.ConnectionString(application);

    public string Name => isDedicated ? DedicatedName : SharedName;

    public string Application => application;

    public IPeerLock Lock(string name) => Lock(new PostgresAdvisoryLockKey(name, allowHashing: true));

    public IPeerLock LockOfAll(string name) => Lock(new PostgresAdvisoryLockKey(LockKey.Of(name).Value));

    public async Task RestAsync(CancellationToken stop)
    {
        await using var anyOfThem = new NpgsqlConnection(_connectionString);
        NpgsqlConnection.ClearPool(anyOfThem);
        await database.HasNoConnectionsAsync(application, stop);
    }

    public async ValueTask DisposeAsync() => await RestAsync(CancellationToken.None);

    private PeerLock Lock(PostgresAdvisoryLockKey key) => new(new PostgresDistributedLock(key, _connectionString, options =>
    {
        if (isDedicated) options.UseMultiplexing(false);
    }));

    private sealed class PeerLock(PostgresDistributedLock theirs) : IPeerLock
    {
        public async Task<IAsyncDisposable?> TryTakeAsync(CancellationToken stop) => await theirs.TryAcquireAsync(cancellationToken: stop);

        public async Task<IAsyncDisposable> TakeAsync(TimeSpan timeout, CancellationToken stop) => await theirs.AcquireAsync(timeout, stop);
    }
}

namespace JobLocks.Benchmarks.Peers;

/// <summary>JobLocks, with one instance for all callers.</summary>
internal sealed class Ours(string connectionString, string application, string schema = "joblocks") : ILockPeer
{
    public const string PeerName = "JobLocks";

    private readonly AdvisoryLocks _locks = AdvisoryLocks.Connect(connectionString, options =>
    {
        options.ApplicationName = application;
        options.Schema = schema;
    });

    public string Name => PeerName;

    public string Application => application;

    public IPeerLock Lock(string name) => new NamedLock(_locks, name);

    public IPeerLock LockOfAll(string name) => Lock(name);

    public Task RestAsync(CancellationToken stop) => Task.CompletedTask;

    public ValueTask DisposeAsync() => _locks.DisposeAsync();

    private sealed class NamedLock(AdvisoryLocks locks, string name) : IPeerLock
    {
        public async Task<IAsyncDisposable?> TryTakeAsync(CancellationToken stop) => await locks.TryAcquireAsync(name, stop);

        public async Task<IAsyncDisposable> TakeAsync(TimeSpan timeout, CancellationToken stop) => await locks.AcquireAsync(name, timeout, stop);
    }
}

using System.Globalization;
using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.Contract;

/// <summary>One implementation of the locks, with a lock name and a job store for each test. Each test must release all locks.</summary>
public abstract class ContractFixture
{
    private protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan NotDuringATest = TimeSpan.FromMinutes(1);

    private readonly ContractBackend _backend;
    private readonly Lock _opening = new();
    private Action<JobLocksOptions> _configure = static _ => { };
    private IJobLocks? _locks;

    private protected ContractFixture(ContractBackend backend) => _backend = backend;

    /// <summary>A lock name that no other test has.</summary>
    private protected string Name { get; private set; } = "";

    private protected LockKey Key => LockKey.Of(Name);

    private protected LockRequest Request => new(Name, Key);

    /// <summary>The job store that these locks serve.</summary>
    private protected RunsOfTest Runs { get; private set; } = null!;

    /// <summary>The locks under test. They are opened by the first use.</summary>
    private protected IJobLocks Locks
    {
        get
        {
            // The first use may be that of many callers at once, and two instances in memory exclude nothing.
            lock (_opening) return _locks ??= Open();
        }
    }

    /// <summary>The same locks, as the gate uses them.</summary>
    private protected ILockBackend Keeper => (ILockBackend)Locks;

    private protected IWaitQueue Queue => Keeper.WaitQueue;

    [OneTimeSetUp]
    public Task Prepare_the_backend() => _backend.PrepareAsync(GetType().Name);

    [SetUp]
    public void Choose_names()
    {
        Name = $"sync({Guid.NewGuid():N})";
        Runs = new();
        // Only an event may wake a run: a sweep of PostgreSQL can find a lock free that is held again when it wakes the run.
        _configure = static options => options.SweepInterval = NotDuringATest;
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        if (_locks is not { } locks) return;

        _locks = null;
        try
        {
            var keeper = (ILockBackend)locks;
            if (keeper.IsClosed) return;

            await RemoveEntriesAsync(keeper);
            // The backend has processed everything that was released before this grant.
            await using var last = await locks.AcquireAsync($"last({Guid.NewGuid():N})", Patience);
            Assert.That((await keeper.Inspection.GetOverviewAsync()).Held, Is.EqualTo(1), "the test has released its locks");
        }
        finally
        {
            await ((IAsyncDisposable)locks).DisposeAsync();
        }
    }

    /// <summary>Sets options. Call it before the first use of the locks.</summary>
    private protected void Configure(Action<JobLocksOptions> configure) => _configure += configure;

    /// <summary>Has sweeps find at once what no event reports. Call it before the first use of the locks.</summary>
    private protected void SweepOften() => Configure(static options => options.SweepInterval = TimeSpan.FromMilliseconds(100));

    /// <summary>Disposes the locks under test.</summary>
    private protected ValueTask DisposeLocksAsync() => ((IAsyncDisposable)Locks).DisposeAsync();

    /// <summary>Has all locks be lost.</summary>
    private protected Task LoseAllAsync() => _backend.LoseAllAsync(Locks);

    private protected RunAddress AddressOf(int run) => new(Runs.Id, run.ToString(CultureInfo.InvariantCulture), "");

    private protected async Task<QueueEntry> EnqueueAsync(int run, LockRequest request, CancellationToken stop) =>
        (await Queue.EnqueueAsync(AddressOf(run), request, default, blocks: false, stop)).Entry!;

    /// <summary>Has a run wait, as the gate and an adapter do.</summary>
    private protected Task<QueueEntry> ParkAsync(int run, CancellationToken stop) => ParkAsync(run, Request, stop);

    /// <inheritdoc cref="ParkAsync(int, CancellationToken)"/>
    private protected async Task<QueueEntry> ParkAsync(int run, LockRequest request, CancellationToken stop)
    {
        var entry = await EnqueueAsync(run, request, stop);
        await Queue.MarkParkedAsync(entry, blocks: false, stop);
        return entry;
    }

    /// <summary>The number of the next run that the job store is told to start.</summary>
    private protected async Task<int> NextWokenAsync(CancellationToken stop) => int.Parse((await Runs.NextAsync(stop)).Address.Run, CultureInfo.InvariantCulture);

    /// <summary>Waits until a run is woken. A run may be woken in vain, so others may be woken before it.</summary>
    private protected async Task WhenWokenAsync(int run, CancellationToken stop)
    {
        while (await NextWokenAsync(stop) != run) stop.ThrowIfCancellationRequested();
    }

    /// <summary>A woken run requests its lock, and leaves the queue with it.</summary>
    private protected async Task<JobLockHandle> EnterAsync(int run, CancellationToken stop) =>
        await TryEnterAsync(run, stop) ?? throw new AssertionException($"Run {run} does not get its lock.");

    /// <summary>The same where the run may be refused; then the result is null, and the run keeps its entry.</summary>
    private protected async Task<JobLockHandle?> TryEnterAsync(int run, CancellationToken stop)
    {
        var entry = await Queue.FindAsync(AddressOf(run), blocks: false, stop);
        var result = await RequestAsync(entry, stop);
        if (result.Refused is not null) return null;

        await Queue.DequeueAsync(entry!, blocks: false, stop);
        return result.Handles[0];
    }

    /// <summary>Requests the lock of the test for a run with this queue entry.</summary>
    private protected ValueTask<AcquireResult> RequestAsync(QueueEntry? entry, CancellationToken stop) =>
        Keeper.TryAcquireAllAsync([Request], new() { Run = "Test job 1" }, entry, blocks: false, stop);

    /// <summary>Acquires a lock that must be free.</summary>
    private protected async Task<JobLockHandle> HoldAsync(CancellationToken stop) =>
        await Locks.TryAcquireAsync(Name, stop) ?? throw new InvalidOperationException($"{Name} is not free.");

    /// <summary>The tests of a fixture share a database, and some of them count all runs that wait.</summary>
    private static async Task RemoveEntriesAsync(ILockBackend keeper)
    {
        foreach (var name in (await keeper.Inspection.GetWaitingAsync()).Items)
        {
            foreach (var run in (await keeper.Inspection.GetWaitingAsync(name.Key)).Items)
            {
                if (await keeper.WaitQueue.FindAsync(new(run.Store, run.Run, run.Queue), blocks: false, CancellationToken.None) is { } entry)
                    await keeper.WaitQueue.DequeueAsync(entry, blocks: false, CancellationToken.None);
            }
        }
    }

    private IJobLocks Open()
    {
        var locks = _backend.Open(_configure);
        ((ILockBackend)locks).WaitQueue.AddStore(Runs);
        return locks;
    }
}

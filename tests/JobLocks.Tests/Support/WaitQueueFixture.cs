using System.Globalization;
using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Rules;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace JobLocks.Tests.Support;

/// <summary>The line by itself, with a store that only says whom it was told to start.</summary>
public abstract class WaitQueueFixture
{
    private readonly List<AdvisoryLocks> _opened = [];

    private protected string Database { get; private set; } = "";

    private protected string Name { get; set; } = "";

    private protected RunsOfTest Runs { get; private set; } = null!;

    private protected LockKey Key => LockKey.Of(Name);

    /// <summary>A run that waits for the lock.</summary>
    private protected LockDeclaration Rule => new(Name, OnConflict.Wait, LockDeclaration.DefaultRetryAfterSeconds);

    [OneTimeSetUp]
    public async Task CreateDatabase() => Database = await NewDatabaseAsync();

    [SetUp]
    public void Prepare()
    {
        Name = $"sync({Guid.NewGuid():N})";
        Runs = new();
    }

    [TearDown]
    public async Task Close()
    {
        foreach (var locks in _opened) await locks.DisposeAsync();
        _opened.Clear();
    }

    /// <summary>The database of the fixture, on the server of all fixtures unless it needs one of its own.</summary>
    private protected virtual Task<string> NewDatabaseAsync() => AssemblySetup.Server.CreateDatabaseAsync(GetType().Name);

    private protected AdvisoryLocks Open(ILoggerFactory loggers) => Open(configure: null, loggers);

    private protected AdvisoryLocks Open(Action<JobLocksOptions>? configure = null, ILoggerFactory? loggers = null)
    {
        var locks = AdvisoryLocks.Connect(Database, configure, loggers);
        _opened.Add(locks);
        ((ILockBackend)locks).WaitQueue.AddStore(Runs);
        return locks;
    }

    /// <summary>A process with another store.</summary>
    private protected AdvisoryLocks OpenFor(RunsOfTest store)
    {
        var locks = Open();
        ((ILockBackend)locks).WaitQueue.RemoveStore(Runs);
        ((ILockBackend)locks).WaitQueue.AddStore(store);
        return locks;
    }

    private protected static async Task EnsureSessionAsync(AdvisoryLocks locks, CancellationToken stop) => await (await locks.TryAcquireAsync("proof", stop))!.DisposeAsync();

    private protected Task ParkAsync(ILockBackend locks, int run, CancellationToken stop) => ParkAsync(locks, run, new LockRequest(Name, Key), stop);

    private protected async Task ParkAsync(ILockBackend locks, int run, LockRequest request, CancellationToken stop)
    {
        var standing = await locks.WaitQueue.EnqueueAsync(AddressOf(run), request, default, blocks: false, stop);
        await locks.WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
    }

    /// <summary>As the gate does for a run that was woken: it takes its lock by its place, and gives the place up. One that is refused parks again.</summary>
    private protected async Task<IDisposable> EnterAsync(ILockBackend locks, WaitingRun woken, CancellationToken stop)
    {
        while (true)
        {
            var place = await locks.WaitQueue.FindAsync(woken.Address, blocks: false, stop);
            var taken = await locks.TryAcquireAllAsync([new(Name, woken.Key)], new() { Run = woken.Address.Run }, place, blocks: false, stop);
            if (taken.Refused is null)
            {
                await locks.WaitQueue.DequeueAsync(place!, blocks: false, stop);
                return taken.Handles[0];
            }

            await ParkAsync((AdvisoryLocks)locks, int.Parse(woken.Address.Run, CultureInfo.InvariantCulture), stop);
            woken = await Runs.NextAsync(stop);
        }
    }

    /// <summary>As a scheduler asks for a run.</summary>
    private protected Task<Admission> EnterAsync(AdvisoryLocks locks, int run, LockDeclaration rule, CancellationToken stop) =>
        new JobGate(locks, NullLogger<JobGate>.Instance).TryEnterAsync(CallOf(run, rule), stop);

    /// <summary>A run as its scheduler passes it to the gate.</summary>
    private protected JobCall CallOf(int run, LockDeclaration rule) =>
        Calls.Call(rule.Name) with { Rules = [LockRule.For(rule, JobSignature.Of(typeof(ClientSync)))], Address = _ => AddressOf(run) };

    private protected RunAddress AddressOf(int run) => new(Runs.Id, run.ToString(CultureInfo.InvariantCulture), "");

    private protected async Task<long> LengthAsync() => (long)(await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE name = $1", Name))!;
}

using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Faults;

/// <summary>Handles that are dropped without being disposed: the garbage collector finds them, and their locks are released.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed partial class DroppedHandleTests
{
    private const string Warning = "was garbage-collected without being disposed";

    private string _connectionString = "";
    private string _name = null!;
    private LogLines _log = null!;
    private AdvisoryLocks _locks = null!;
    private AdvisoryLocks _others = null!;

    [OneTimeSetUp]
    public async Task CreateDatabase() => _connectionString = await AssemblySetup.Server.CreateDatabaseAsync(nameof(DroppedHandleTests));

    [SetUp]
    public void Connect()
    {
        _name = Sessions.NewName("dropped");
        _log = new();
        _locks = AdvisoryLocks.Connect(_connectionString, loggers: _log);
        _others = AdvisoryLocks.Connect(_connectionString);
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        await _locks.DisposeAsync();
        await _others.DisposeAsync();
        _log.Dispose();

        Assert.That(await LockTable.CountLeftAsync(_connectionString), Is.Zero);
    }

    public static IEnumerable<TestCaseData> WaysToDrop()
    {
        static TestCaseData Way(string name, Func<AdvisoryLocks, string, CancellationToken, Task> drop) => new TestCaseData(drop).SetName($"Releases_a_lock_whose_handle_was_dropped({name})");

        yield return Way("try", static async (locks, name, stop) => Check(await locks.TryAcquireAsync(name, stop)));
        yield return Way("try, synchronous", static (locks, name, stop) =>
        {
            Check(locks.TryAcquire(name, stop));
            return Task.CompletedTask;
        });
        yield return Way("acquire", static async (locks, name, stop) => Check(await locks.AcquireAsync(name, TimeSpan.FromMinutes(1), stop)));
        yield return Way("acquire, synchronous", static (locks, name, stop) =>
        {
            Check(locks.Acquire(name, TimeSpan.FromMinutes(1), stop));
            return Task.CompletedTask;
        });
        yield return Way("key", static async (locks, name, stop) => Check(await locks.TryAcquireAsync(LockKey.Of(name), stop)));
        yield return Way("shared", static async (locks, name, stop) => Check(await locks.TryAcquireAsync(name, LockMode.Shared, stop)));
        yield return Way("token was looked at", static async (locks, name, stop) => Check((await locks.TryAcquireAsync(name, stop))!.Lost.CanBeCanceled));
        yield return Way("something was registered", static async (locks, name, stop) =>
        {
            var handle = (await locks.TryAcquireAsync(name, stop))!;
            handle.Lost.Register(static handle => GC.KeepAlive(handle), handle);
        });
        yield return Way("task that was not awaited", static async (locks, name, stop) =>
        {
            var acquiring = locks.TryAcquireAsync(name, stop);
            await ((Task)acquiring).ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        });
        yield return Way("method that was cancelled afterwards", static async (locks, name, stop) =>
        {
            using var cancelled = new CancellationTokenSource();
            async Task WorkAsync()
            {
                var handle = await locks.TryAcquireAsync(name, stop);
                await cancelled.CancelAsync();
                cancelled.Token.ThrowIfCancellationRequested();
                handle!.Dispose();
            }

            await Assert.ThrowsAsync<OperationCanceledException>(WorkAsync);
        });
        yield return Way("run of a scheduler", static async (locks, name, stop) =>
            Check(await ((ILockBackend)locks).TryAcquireAllAsync([new(name, LockKey.Of(name))], new() { Run = "Quartz job 3" }, null, blocks: false, stop)));
    }

    [TestCaseSource(nameof(WaysToDrop))]
    public async Task Releases_a_lock_whose_handle_was_dropped(Func<AdvisoryLocks, string, CancellationToken, Task> drop, CancellationToken stop)
    {
        await DropAsync(drop, stop);

        await using var next = await AcquireWhileCollectingAsync(_name, stop);

        await _log.WhenSaidAsync(Warning, stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(WarningCount(), Is.EqualTo(1));
            Assert.That(_log.Text, Does.Contain(LockKey.Of(_name).Value.ToString(System.Globalization.CultureInfo.InvariantCulture)));
        }
    }

    [Test]
    public async Task Releases_all_locks_of_a_dropped_set(CancellationToken stop)
    {
        await DropAsync(static async (locks, name, stop) => Check(await locks.TryAcquireAllAsync([name, name + " 2", name + " 3"], stop)), stop);

        await using var first = await AcquireWhileCollectingAsync(_name, stop);
        await using var third = await AcquireWhileCollectingAsync(_name + " 3", stop);

        while (WarningCount() < 3) await Task.Delay(10, stop);
        Assert.That(_log.Text, Does.Contain(_name + " 2"));
    }

    [Test]
    public async Task Releases_all_slots_of_a_limit_whose_handles_were_dropped(CancellationToken stop)
    {
        await DropAsync(
            async (locks, name, stop) =>
            {
                var handles = new List<JobLockHandle>();
                while (handles.Count < 3) handles.AddRange((await TakeSlotAsync(locks, name, stop)).Handles);
                Assert.That((await TakeSlotAsync(_others, name, stop)).Refused, Is.Not.Null);
                GC.KeepAlive(handles);
            },
            stop);

        var taken = new List<JobLockHandle>();
        while (taken.Count < 3)
        {
            Collect();
            taken.AddRange((await TakeSlotAsync(_others, _name, stop)).Handles);
            await Task.Delay(10, stop);
        }

        foreach (var handle in taken) handle.Dispose();
    }

    [Test]
    public async Task Releases_a_shared_lock_only_when_all_its_handles_are_gone(CancellationToken stop)
    {
        var kept = (await _locks.TryAcquireAsync(_name, LockMode.Shared, stop))!;
        await DropAsync(static async (locks, name, stop) => Check(await locks.TryAcquireAsync(name, LockMode.Shared, stop)), stop);
        while (WarningCount() == 0)
        {
            Collect();
            await Task.Delay(10, stop);
        }

        Assert.That(await _others.TryAcquireAsync(_name, stop), Is.Null);
        kept.Dispose();
        await using var next = await _others.AcquireAsync(_name, TimeSpan.FromMinutes(1), stop);
    }

    [Test]
    public async Task Gives_the_lock_of_a_dropped_handle_to_a_waiter_of_the_same_process(CancellationToken stop)
    {
        await DropAsync(static async (locks, name, stop) => Check(await locks.TryAcquireAsync(name, stop)), stop);

        var waiting = _locks.AcquireAsync(_name, TimeSpan.FromMinutes(1), stop);
        while (!waiting.IsCompleted)
        {
            Collect();
            await Task.Delay(10, stop);
        }

        (await waiting).Dispose();
    }

    [Test]
    public async Task Cancels_what_was_registered_on_the_token_of_a_dropped_handle(CancellationToken stop)
    {
        var told = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await DropAsync(async (locks, name, stop) => (await locks.TryAcquireAsync(name, stop))!.Lost.Register(told.SetResult), stop);

        while (!told.Task.IsCompleted)
        {
            Collect();
            await Task.Delay(10, stop);
        }

        await using var next = await _others.AcquireAsync(_name, TimeSpan.FromMinutes(1), stop);
    }

    [Test]
    public async Task Keeps_a_lock_whose_handle_is_kept(CancellationToken stop)
    {
        var kept = (await _locks.TryAcquireAsync(_name, stop))!;
        await CollectManyTimesAsync(stop);

        Assert.That(await _others.TryAcquireAsync(_name, stop), Is.Null);
        kept.Dispose();
        Assert.That(WarningCount(), Is.Zero);
    }

    [Test]
    public async Task Keeps_a_lock_whose_token_is_kept_alone(CancellationToken stop)
    {
        var token = await TakeTokenAsync(stop);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(await TakeTokenAsync(stop, " linked"));
        await CollectManyTimesAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await _others.TryAcquireAsync(_name, stop), Is.Null);
            Assert.That(await _others.TryAcquireAsync(_name + " linked", stop), Is.Null);
            Assert.That(token.IsCancellationRequested || linked.IsCancellationRequested, Is.False);
        }
    }

    [Test]
    public async Task Keeps_all_locks_of_a_set_of_which_one_handle_is_kept(CancellationToken stop)
    {
        var kept = await TakeLastOfSetAsync(stop);
        await CollectManyTimesAsync(stop);

        Assert.That(await _others.TryAcquireAsync(_name, stop), Is.Null);
        kept.Dispose();
    }

    [Test]
    public async Task Says_nothing_of_handles_that_were_disposed(CancellationToken stop)
    {
        for (var round = 0; round < 100; round++)
        {
            (await _locks.TryAcquireAsync(_name, stop))!.Dispose();
            await (await _locks.TryAcquireAsync(_name, stop))!.DisposeAsync();
        }

        await CollectManyTimesAsync(stop);

        Assert.That(WarningCount(), Is.Zero);
    }

    [TestCase(true), TestCase(false)]
    public async Task Says_where_a_dropped_handle_was_acquired_if_that_is_captured(bool captures, CancellationToken stop)
    {
        using var log = new LogLines();
        await using var locks = AdvisoryLocks.Connect(_connectionString, options => options.CaptureStackOnAcquire = captures, log);
        await DropAsync(locks, static async (locks, name, stop) => Check(await locks.TryAcquireAsync(name, stop)), stop);

        await using var next = await AcquireWhileCollectingAsync(_name, stop);

        await log.WhenSaidAsync(Warning, stop);
        Assert.That(log.Text, Does.Contain(captures ? $"Acquired at: at {typeof(DroppedHandleTests).FullName}" : $"set {nameof(JobLocksOptions)}.{nameof(JobLocksOptions.CaptureStackOnAcquire)}"));
    }

    [Test]
    public async Task Leaves_a_lock_in_a_transaction_to_the_transaction(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_connectionString, stop);
        await using var transaction = await connection.BeginTransactionAsync(stop);
        await DropAsync(async (locks, name, stop) => Check(await locks.TryAcquireAsync(name, transaction, stop)), stop);

        await CollectManyTimesAsync(stop);

        Assert.That(await _others.TryAcquireAsync(_name, stop), Is.Null);
        Assert.That(WarningCount(), Is.Zero);
    }

    private static void Check(object? handle) => Assert.That(handle, Is.Not.Null.And.Not.False);

    private static ValueTask<AcquireResult> TakeSlotAsync(AdvisoryLocks locks, string name, CancellationToken stop) =>
        ((ILockBackend)locks).TryAcquireAllAsync([new(name, LockKey.Of(name), LockMode.Exclusive, 3)], new() { Run = "a run" }, null, blocks: false, stop);

    private static void Collect()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
    }

    private static async Task CollectManyTimesAsync(CancellationToken stop)
    {
        for (var round = 0; round < 20; round++)
        {
            Collect();
            await Task.Delay(10, stop);
        }
    }

    /// <summary>On a thread that ends, since a frame of this method could lead to the handle.</summary>
    private Task DropAsync(Func<AdvisoryLocks, string, CancellationToken, Task> drop, CancellationToken stop) => DropAsync(_locks, drop, stop);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private Task DropAsync(AdvisoryLocks locks, Func<AdvisoryLocks, string, CancellationToken, Task> drop, CancellationToken stop) =>
        Task.Run(() => drop(locks, _name, stop), stop);

    private async Task<JobLockHandle> AcquireWhileCollectingAsync(string name, CancellationToken stop)
    {
        var since = Stopwatch.StartNew();
        while (true)
        {
            if (await _others.TryAcquireOnceBackAsync(name, stop) is { } handle) return handle;

            Assert.That(since.Elapsed, Is.LessThan(TimeSpan.FromSeconds(10)), "the lock is released soon after the collection");
            Collect();
            await Task.Delay(10, stop);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private async Task<CancellationToken> TakeTokenAsync(CancellationToken stop, string suffix = "") => (await _locks.TryAcquireAsync(_name + suffix, stop))!.Lost;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private async Task<JobLockHandle> TakeLastOfSetAsync(CancellationToken stop) => (await _locks.TryAcquireAllAsync([_name, _name + " 2"], stop))![1];

    private int WarningCount() => Warned().Count(_log.Text);

    [GeneratedRegex(Warning, RegexOptions.NonBacktracking)]
    private static partial Regex Warned();
}

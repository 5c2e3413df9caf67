using System.Diagnostics.Metrics;
using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.InMemory.Locks;
using JobLocks.InMemory.Reading;
using JobLocks.InMemory.WaitQueue;
using JobLocks.Inspection;
using JobLocks.Locks;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobLocks.InMemory;

/// <summary>
/// Locks and a wait queue in the memory of one process, without a server. They exclude and order the callers and the runs of this instance only, and
/// end with it. All times come from one clock, which a test may control. Thread-safe.
/// </summary>
internal sealed class InMemoryLocks : IJobLocks, ILockBackend, IAsyncDisposable, IDisposable
{
    private readonly JobLocksOptions _options;
    private readonly MemoryDispatcher _dispatcher;
    private readonly ManualRequests _manual;
    private readonly MemoryAcquisition _acquisition;
    private readonly MemoryWaitQueue _waitQueue;
    private readonly MemorySweep _sweep;
    private readonly MemoryInspector _inspection;
    private readonly LockTraces _traces;
    private readonly BackgroundWork _work;

    /// <param name="options">The options. Those about sessions and the schema have no effect. Null for the defaults.</param>
    /// <param name="clock">The clock; null for the clock of the machine.</param>
    /// <param name="loggers">Creates the loggers; null for no log.</param>
    /// <param name="meters">Creates the meter; null without a container.</param>
    /// <exception cref="OptionsValidationException">An option is out of range.</exception>
    public InMemoryLocks(JobLocksOptions? options = null, TimeProvider? clock = null, ILoggerFactory? loggers = null, IMeterFactory? meters = null)
    {
        _options = Validated(options ?? new());
        clock ??= TimeProvider.System;
        var log = (loggers ?? NullLoggerFactory.Instance).CreateLogger<InMemoryLocks>();
        _work = new(log);
        _dispatcher = new(_options, clock, log, meters)
        {
            OnWoken = woken => _work.Add(() => Delivery!.DeliverAsync(woken)),
            OnRunsWait = () => _sweep!.Schedule(),
        };
        Delivery = new(_dispatcher, log);
        _sweep = new(_dispatcher, Delivery, _work, _options, clock);
        _manual = new(_options);
        _acquisition = new(_dispatcher, _manual, _options, clock);
        _waitQueue = new(_dispatcher, new(_dispatcher, log), _sweep, _work, _options);
        _inspection = new(_dispatcher, _options, clock, log);
        _traces = new(_options.NamesInTelemetry);
    }

    /// <summary>Reads the locks and the wait queue.</summary>
    public IJobLockInspector Inspector => _inspection;

    private MemoryWakeDelivery Delivery { get; }

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(string name, CancellationToken stop = default) => TryAcquireAsync(_manual.For(name), stop);

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(LockKey key, CancellationToken stop = default) => TryAcquireAsync(new LockRequest(null, key), stop);

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(string name, LockMode mode, CancellationToken stop = default) => TryAcquireAsync(_manual.For(name, mode), stop);

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(LockKey key, LockMode mode, CancellationToken stop = default) =>
        TryAcquireAsync(new LockRequest(null, key, ManualRequests.Validated(mode)), stop);

    /// <summary>Not supported: a transaction of PostgreSQL cannot hold a lock of this process.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    public Task<JobLockHandle?> TryAcquireAsync(string name, NpgsqlTransaction transaction, CancellationToken stop = default) => throw new NotSupportedException(
        "Locks in memory cannot be acquired in a transaction of PostgreSQL, because the transaction would not hold them. "
        + $"Use {nameof(AdvisoryLocks)}, or acquire the lock without the transaction.");

    /// <inheritdoc/>
    public Task<JobLockSet?> TryAcquireAllAsync(IEnumerable<string> names, CancellationToken stop = default)
    {
        var requests = _manual.ForAll(names);
        return Answered(() => TryAcquireAll(requests, stop), stop);
    }

    /// <inheritdoc/>
    public Task<JobLockHandle> AcquireAsync(string name, TimeSpan timeout, CancellationToken stop = default) => _acquisition.AcquireOneAsync(_manual.For(name), timeout, stop);

    /// <inheritdoc/>
    public Task<JobLockHandle> AcquireAsync(LockKey key, TimeSpan timeout, CancellationToken stop = default) => _acquisition.AcquireOneAsync(new(null, key), timeout, stop);

    /// <inheritdoc/>
    public Task<JobLockHandle> AcquireAsync(string name, LockMode mode, TimeSpan timeout, CancellationToken stop = default) =>
        _acquisition.AcquireOneAsync(_manual.For(name, mode), timeout, stop);

    /// <inheritdoc/>
    public JobLockHandle? TryAcquire(string name, CancellationToken stop = default) => _acquisition.TryAcquireOne(_manual.For(name), stop);

    /// <inheritdoc/>
    public JobLockHandle? TryAcquire(LockKey key, CancellationToken stop = default) => _acquisition.TryAcquireOne(new(null, key), stop);

    /// <inheritdoc/>
    public JobLockHandle? TryAcquire(string name, LockMode mode, CancellationToken stop = default) => _acquisition.TryAcquireOne(_manual.For(name, mode), stop);

    /// <inheritdoc/>
    public JobLockSet? TryAcquireAll(IEnumerable<string> names, CancellationToken stop = default) => TryAcquireAll(_manual.ForAll(names), stop);

    /// <inheritdoc/>
    public JobLockHandle Acquire(string name, TimeSpan timeout, CancellationToken stop = default) => _acquisition.AcquireOne(_manual.For(name), timeout, stop);

    /// <inheritdoc/>
    public JobLockHandle Acquire(LockKey key, TimeSpan timeout, CancellationToken stop = default) => _acquisition.AcquireOne(new(null, key), timeout, stop);

    /// <inheritdoc/>
    public JobLockHandle Acquire(string name, LockMode mode, TimeSpan timeout, CancellationToken stop = default) =>
        _acquisition.AcquireOne(_manual.For(name, mode), timeout, stop);

    /// <summary>
    /// Declares the lock of a key lost, with all its readers. The key stays occupied until their handles are disposed, as after the loss of a session.
    /// </summary>
    /// <param name="key">The key; for a slot, the key of the slot.</param>
    /// <param name="cause">Why the lock is lost, for the record of the run; null for no cause.</param>
    /// <returns>How many handles of it were not disposed.</returns>
    public int Lose(LockKey key, Exception? cause = null) => _dispatcher.Lose(key, cause);

    /// <summary>Declares all locks lost, as the loss of a session does.</summary>
    /// <param name="cause">Why the locks are lost, for the records of the runs; null for no cause.</param>
    /// <returns>How many handles were not disposed.</returns>
    public int LoseAll(Exception? cause = null) =>
        _dispatcher.Read(() => _dispatcher.Locks.Held.Select(static entry => entry.Key).ToList()).Sum(key => _dispatcher.Lose(key, cause));

    /// <summary>Declares every held lock lost, fails the callers that wait, and ends the wake-ups.</summary>
    public void Dispose()
    {
        if (!_dispatcher.Close()) return;

        _sweep.Dispose();
        _work.Close();
    }

    /// <inheritdoc cref="Dispose"/>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return default;
    }

    string? ILockBackend.Scope => _options.Scope;

    bool ILockBackend.IsClosed => _dispatcher.IsClosed;

    IWaitQueue ILockBackend.WaitQueue => _waitQueue;

    IPageInspector ILockBackend.Inspection => _inspection;

    LockMeter ILockBackend.Meter => _dispatcher.Meter;

    LockTraces ILockBackend.Traces => _traces;

    StatisticsCounter ILockBackend.Statistics => _dispatcher.Statistics.Counter;

    UsualHolds ILockBackend.UsualHolds => _dispatcher.UsualHolds;

    TimeSpan ILockBackend.LongestWaitInWorker => _options.LongestWaitInWorker;

    double ILockBackend.LargestWaitingShare => _options.LargestWaitingShare;

    ValueTask<AcquireResult> ILockBackend.TryAcquireAllAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, bool blocks, CancellationToken stop) =>
        new(_acquisition.TryAcquireSet(requests, run, entry, stop));

    ValueTask<Holder?> ILockBackend.FindHolderAsync(LockRequest request, bool blocks, CancellationToken stop) => new(_acquisition.FindHolder(request));

    private static JobLocksOptions Validated(JobLocksOptions options)
    {
        var outcome = new JobLocksOptionsValidation().Validate(Options.DefaultName, options);
        return outcome.Failed ? throw new OptionsValidationException(Options.DefaultName, typeof(JobLocksOptions), outcome.Failures) : options;
    }

    /// <summary>Returns the answer as a task, and an exception as a failed task.</summary>
    private static Task<T> Answered<T>(Func<T> acquire, CancellationToken stop)
    {
        if (stop.IsCancellationRequested) return Task.FromCanceled<T>(stop);

        try
        {
            return Task.FromResult(acquire());
        }
        catch (ObjectDisposedException disposed)
        {
            return Task.FromException<T>(disposed);
        }
    }

    private Task<JobLockHandle?> TryAcquireAsync(LockRequest request, CancellationToken stop) => Answered(() => _acquisition.TryAcquireOne(request, stop), stop);

    private JobLockSet? TryAcquireAll(LockRequest[] requests, CancellationToken stop)
    {
        var result = _acquisition.TryAcquireSet(requests, _manual.Caller, entry: null, stop);
        return result.Refused is null ? new(result.Handles) : null;
    }
}

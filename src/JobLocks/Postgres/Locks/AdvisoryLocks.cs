using System.Diagnostics.Metrics;
using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Inspection;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Reading;
using JobLocks.Postgres.Schema;
using JobLocks.Postgres.Session;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobLocks;

/// <summary>
/// Locks in PostgreSQL's lock table. Every program that uses the same key sees them, and the server frees them when this process dies.
/// </summary>
/// <remarks>
/// <para>
/// All locks of an instance are held by one connection, which is opened at the first use. While a caller waits for a lock of another process, a
/// second connection listens for its release. Use one instance in a process.
/// </para>
/// <para>Thread-safe. Disposing the instance releases every lock it holds and cancels their <see cref="JobLockHandle.Lost"/> tokens.</para>
/// </remarks>
/// <example><code>await using var locks = AdvisoryLocks.Connect(connectionString);</code></example>
public sealed class AdvisoryLocks : IJobLocks, ILockBackend, IAsyncDisposable, IDisposable
{
    private static readonly TimeSpan LongestClose = TimeSpan.FromSeconds(3);

    private readonly LockDispatcher _dispatcher;
    private readonly TransactionLock _transactionLock;
    private readonly WakeDispatcher _wakeDispatcher;
    private readonly PostgresWaitQueue _waitQueue;
    private readonly ReadModelWriter _readModelWriter;
    private readonly SampleWriter _samples;
    private readonly SchemaWatch _schemaWatch;
    private readonly PooledStatements _inspectionStatements;
    private readonly LockTraces _traces;
    private readonly ForeignInternalLocks _internalLocks = new();
    private readonly JobLocksOptions _options;
    private readonly NpgsqlDataSource? _ownedSource;
    private readonly ManualRequests _manual;
    private readonly LockAcquisition _acquisition;

    internal AdvisoryLocks(NpgsqlDataSource source, bool ownsSource, JobLocksOptions options, ILoggerFactory? loggers, TimeProvider? clock = null, IMeterFactory? meters = null)
    {
        _options = options;
        _ownedSource = ownsSource ? source : null;
        clock ??= TimeProvider.System;
        Loggers = loggers ?? NullLoggerFactory.Instance;
        var log = Loggers.CreateLogger<AdvisoryLocks>();
        var connector = new SessionConnector(source, options, log);
        _dispatcher = new(connector, options, clock, log, meters, new()
        {
            OnWaitersCanRun = keys => _wakeDispatcher!.OnReleased(keys),
            OnListening = () => _wakeDispatcher!.InWorkers.Local.ReadAllAgain(),
            OnNotification = (payload, backend) => _wakeDispatcher!.OnNotification(payload, backend),
            OnOpened = OnSessionOpened,
        });
        _manual = new(options);
        _acquisition = new(_dispatcher, _manual, options, clock);
        _transactionLock = new(new(_dispatcher));
        var statements = new PooledStatements(connector, options, PooledUse.WaitQueue, new(() => _wakeDispatcher!.Presence.Announced));
        _inspectionStatements = new(connector, options, PooledUse.Inspection);
        _wakeDispatcher = new(statements, _dispatcher, _internalLocks, options, log);
        _waitQueue = new(statements, _wakeDispatcher, new(statements, _wakeDispatcher, log), _internalLocks, options, _dispatcher);
        _readModelWriter = new(_dispatcher, new(_dispatcher, _internalLocks, options, log), options, log);
        _samples = new(_inspectionStatements, _dispatcher, () => _wakeDispatcher.IsSweeping, options, log);
        _schemaWatch = new(connector, _dispatcher, options, log);
        _traces = new(options.NamesInTelemetry);
        Inspection = new(_dispatcher, _inspectionStatements, _internalLocks, options, log);
    }

    private void OnSessionOpened()
    {
        _readModelWriter.Start();
        _samples.Start();
        _schemaWatch.Start();
        _wakeDispatcher.Presence.AnnounceAll();
    }

    /// <summary>Reads the locks of all processes. Needs neither the lock session nor any lock of this instance. Thread-safe.</summary>
    public IJobLockInspector Inspector => Inspection;

    /// <summary>The same reader, with the members that the dashboards need.</summary>
    internal LockInspector Inspection { get; }

    /// <summary>The loggers of adapters that are set up without a container.</summary>
    internal ILoggerFactory Loggers { get; }

    /// <summary>Creates locks in the database of a connection string. The connection is opened at the first use.</summary>
    /// <param name="connectionString">A connection string of Npgsql. Behind a pooler, it must use the pooler's session mode or bypass the pooler.</param>
    /// <param name="configure">Changes the options; null for the defaults.</param>
    /// <param name="loggers">Creates the loggers; null for no log.</param>
    /// <exception cref="ArgumentException">The connection string is empty or invalid.</exception>
    /// <exception cref="OptionsValidationException">An option is out of range.</exception>
    public static AdvisoryLocks Connect(string connectionString, Action<JobLocksOptions>? configure = null, ILoggerFactory? loggers = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);

        return new(NpgsqlDataSource.Create(connectionString), ownsSource: true, Validated(configure), loggers);
    }

    /// <summary>Creates locks in the database of a data source. Its password provider and certificates are used, but not its pool.</summary>
    /// <param name="dataSource">The caller keeps it, and disposes it after these locks.</param>
    /// <param name="configure">Changes the options; null for the defaults.</param>
    /// <param name="loggers">Creates the loggers; null for no log.</param>
    /// <exception cref="ArgumentNullException"><paramref name="dataSource"/> is null.</exception>
    /// <exception cref="OptionsValidationException">An option is out of range.</exception>
    public static AdvisoryLocks Connect(NpgsqlDataSource dataSource, Action<JobLocksOptions>? configure = null, ILoggerFactory? loggers = null)
    {
        ArgumentNullException.ThrowIfNull(dataSource);

        return new(dataSource, ownsSource: false, Validated(configure), loggers);
    }

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(string name, CancellationToken stop = default) => _acquisition.TryAcquireOneAsync(_manual.For(name), stop);

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(LockKey key, CancellationToken stop = default) => _acquisition.TryAcquireOneAsync(new(null, key), stop);

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(string name, LockMode mode, CancellationToken stop = default) => _acquisition.TryAcquireOneAsync(_manual.For(name, mode), stop);

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(LockKey key, LockMode mode, CancellationToken stop = default) => _acquisition.TryAcquireOneAsync(new(null, key, ManualRequests.Validated(mode)), stop);

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(string name, NpgsqlTransaction transaction, CancellationToken stop = default) =>
        _transactionLock.TryAcquireAsync(_manual.For(name), transaction, stop);

    /// <inheritdoc/>
    public async Task<JobLockSet?> TryAcquireAllAsync(IEnumerable<string> names, CancellationToken stop = default)
    {
        var result = await _acquisition.TryAcquireSetAsync(_manual.ForAll(names), _manual.Caller, entry: null, stop).ConfigureAwait(false);
        return result.Refused is null ? new(result.Handles) : null;
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
    public JobLockSet? TryAcquireAll(IEnumerable<string> names, CancellationToken stop = default)
    {
        var result = _acquisition.TryAcquireSetBlocking(_manual.ForAll(names), _manual.Caller, entry: null, stop);
        return result.Refused is null ? new(result.Handles) : null;
    }

    /// <inheritdoc/>
    public JobLockHandle Acquire(string name, TimeSpan timeout, CancellationToken stop = default) => _acquisition.AcquireOne(_manual.For(name), timeout, stop);

    /// <inheritdoc/>
    public JobLockHandle Acquire(LockKey key, TimeSpan timeout, CancellationToken stop = default) => _acquisition.AcquireOne(new(null, key), timeout, stop);

    /// <inheritdoc/>
    public JobLockHandle Acquire(string name, LockMode mode, TimeSpan timeout, CancellationToken stop = default) => _acquisition.AcquireOne(_manual.For(name, mode), timeout, stop);

    /// <summary>Releases every lock and closes the connection. Waits for its threads and the connection: normally milliseconds, at most about ten seconds.</summary>
    public async ValueTask DisposeAsync()
    {
        _schemaWatch.Dispose();
        _readModelWriter.Dispose();
        _samples.Dispose();
        // A connection that hangs is left to close by itself.
        await _dispatcher.DisposeAsync().AsTask().WaitAsync(LongestClose).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _wakeDispatcher.Dispose();
        _inspectionStatements.Dispose();
        if (_ownedSource is not null) await _ownedSource.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Releases every lock and closes the connection. Blocks until its threads and the connection have ended: normally milliseconds, at most about ten seconds.</summary>
    public void Dispose() => Blocking.Wait(DisposeAsync().AsTask());

    private static JobLocksOptions Validated(Action<JobLocksOptions>? configure)
    {
        var options = new JobLocksOptions();
        configure?.Invoke(options);
        var outcome = new JobLocksOptionsValidation().Validate(Options.DefaultName, options);
        return outcome.Failed ? throw new OptionsValidationException(Options.DefaultName, typeof(JobLocksOptions), outcome.Failures) : options;
    }

    /// <summary>The server and database, without secrets.</summary>
    internal string Server => _dispatcher.Server;

    /// <summary>The number of locks that this process holds.</summary>
    internal int CountHeld => _dispatcher.GrantedUntil(DateTimeOffset.MaxValue).Count;

    /// <summary>
    /// The first thing that does not work although locks do, as the end of a sentence; null if everything works or no schema is configured.
    /// </summary>
    internal string? FirstLimitation => _options.Schema is not { } schema ? null
        : _schemaWatch.Problem is { } trouble ? trouble
        : _dispatcher.Sessions.Capabilities.IsWaitQueueSuspended ? $"no run can enter the wait queue for now: another session has locked the table {schema}.wait_queue, or waits for that lock."
        : _dispatcher.Sessions.Capabilities.HasWaitQueue == false ? $"no run can enter the wait queue: this role may not use {schema}.wait_queue. See the GRANT lines in docs/schema.sql."
        : !_dispatcher.Sessions.Capabilities.HasFence ? $"handles have no fencing tokens: this role may not use {schema}.fence. See the GRANT lines in docs/schema.sql."
        : !_dispatcher.Sessions.Capabilities.HasReadModel ? $"the holders of locks are not shown: this role may not use {schema}.holders. See the GRANT lines in docs/schema.sql."
        : !_dispatcher.Sessions.Capabilities.HasLimits ? $"processes that declare different limits of one name are not noticed: this role lacks a right. GRANT SELECT, INSERT, UPDATE ON {schema}.declared_limits TO it, see docs/schema.sql."
        : !_dispatcher.Sessions.Capabilities.HasTimeline ? $"the pages do not plot the runs of this process, because its role may not write to recent_runs and samples. GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.recent_runs, {schema}.samples TO it, see docs/schema.sql."
        : _internalLocks.Holders is [var holder, ..] ? $"a program that is not JobLocks holds a lock that JobLocks needs for its own work. {holder}"
        : _wakeDispatcher.IsBroken ? "waiting runs cannot be woken for now. They start when this is over. See warning 401 for the cause."
        : _readModelWriter.IsBroken ? $"holders and statistics cannot be recorded at the moment. See warning 601 for the cause. Check whether another session has locked {schema}.sessions, holders, names, minutes or recent_runs, and see the GRANT lines in docs/schema.sql."
        : null;

    /// <summary>Opens the session if none is open, and waits for an answer of the server on it.</summary>
    /// <exception cref="JobLocksUnavailableException">The session cannot be opened, or it broke.</exception>
    internal Task EnsureSessionAsync(CancellationToken stop) => _dispatcher.QueryAsync(static _ => true).WaitAsync(stop);

    string? ILockBackend.Scope => _options.Scope;

    bool ILockBackend.IsClosed => _dispatcher.Sessions.IsClosed;

    string ILockBackend.DescribeError(Exception error) =>
        error is PostgresException locked && SessionConnection.IsLocked(locked) ? "Another session has locked what the wait queue needs." : error.Message;

    IWaitQueue ILockBackend.WaitQueue => _waitQueue;

    IPageInspector ILockBackend.Inspection => Inspection;

    LockMeter ILockBackend.Meter => _dispatcher.Meter;

    LockTraces ILockBackend.Traces => _traces;

    StatisticsCounter ILockBackend.Statistics => _dispatcher.Statistics;

    UsualHolds ILockBackend.UsualHolds => _dispatcher.UsualHolds;

    TimeSpan ILockBackend.LongestWaitInWorker => _options.LongestWaitInWorker;

    double ILockBackend.LargestWaitingShare => _options.LargestWaitingShare;

    ValueTask<AcquireResult> ILockBackend.TryAcquireAllAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, bool blocks, CancellationToken stop) =>
        blocks ? new(_acquisition.TryAcquireSetBlocking(requests, run, entry, stop)) : new(_acquisition.TryAcquireSetAsync(requests, run, entry, stop));

    ValueTask<Holder?> ILockBackend.FindHolderAsync(LockRequest request, bool blocks, CancellationToken stop)
    {
        var lookup = _acquisition.FindHolderAsync(request);
        if (!blocks) return new(lookup.WaitAsync(stop));

        Blocking.TryWait(lookup, Timeout.InfiniteTimeSpan, stop);
        return new(Blocking.Wait(lookup));
    }
}

using System.Globalization;
using JobLocks.Gate;
using JobLocks.Naming;
using JobLocks.Postgres;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Npgsql;

namespace JobLocks;

/// <summary>Locks in PostgreSQL's own lock table: seen by every program that takes the same key, gone when this process dies.</summary>
/// <remarks>
/// <para>All locks of an instance live on one connection, which is opened at the first use. Have one instance in a process.</para>
/// <para>Thread-safe. Disposing it releases every lock it holds and cancels their <see cref="JobLockHandle.Lost"/>.</para>
/// </remarks>
/// <example><code>await using var locks = AdvisoryLocks.Connect(connectionString);</code></example>
public sealed class AdvisoryLocks : IJobLocks, ILockKeeper, IAsyncDisposable, IDisposable
{
    // Until a release is announced, a waiter looks again this often.
    private static readonly TimeSpan LookAgainAfter = TimeSpan.FromMilliseconds(100);

    private readonly HeldLocks _held = new();
    private readonly LockSession _session;
    private readonly JobLocksOptions _options;
    private readonly NpgsqlDataSource? _ownedSource;
    private readonly TimeProvider _clock;

    internal AdvisoryLocks(NpgsqlDataSource source, bool ownsSource, JobLocksOptions options, ILoggerFactory? loggers, TimeProvider? clock = null)
    {
        _options = options;
        _ownedSource = ownsSource ? source : null;
        _clock = clock ?? TimeProvider.System;
        Loggers = loggers ?? NullLoggerFactory.Instance;
        _session = new(source, options, _held, _clock, Loggers.CreateLogger<AdvisoryLocks>());
    }

    /// <inheritdoc/>
    string? ILockKeeper.Scope => _options.Scope;

    /// <summary>For those who build on these locks without a container.</summary>
    internal ILoggerFactory Loggers { get; }

    /// <summary>Locks in the database of a connection string. The connection is opened at the first use.</summary>
    /// <param name="connectionString">As Npgsql reads it. Behind a pooler, it must lead to session mode or past the pooler.</param>
    /// <param name="configure">Changes the options.</param>
    /// <param name="loggers">Where to log; null for nowhere.</param>
    /// <exception cref="ArgumentException">The connection string cannot be read.</exception>
    /// <exception cref="OptionsValidationException">An option is out of range.</exception>
    public static AdvisoryLocks Connect(string connectionString, Action<JobLocksOptions>? configure = null, ILoggerFactory? loggers = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);

        return new(NpgsqlDataSource.Create(connectionString), ownsSource: true, Validated(configure), loggers);
    }

    /// <summary>Locks in the database of a data source, with its password provider and certificates, but outside of its pool.</summary>
    /// <param name="dataSource">Stays the caller's to dispose, after these locks.</param>
    /// <param name="configure">Changes the options.</param>
    /// <param name="loggers">Where to log; null for nowhere.</param>
    /// <exception cref="OptionsValidationException">An option is out of range.</exception>
    public static AdvisoryLocks Connect(NpgsqlDataSource dataSource, Action<JobLocksOptions>? configure = null, ILoggerFactory? loggers = null)
    {
        ArgumentNullException.ThrowIfNull(dataSource);

        return new(dataSource, ownsSource: false, Validated(configure), loggers);
    }

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(string name, CancellationToken stop = default)
    {
        var scoped = Scoped(name);
        return TryTakeAsync(scoped, LockKey.Of(scoped), ByHand, stop);
    }

    /// <inheritdoc/>
    public Task<JobLockHandle?> TryAcquireAsync(LockKey key, CancellationToken stop = default) => TryTakeAsync(null, key, ByHand, stop);

    /// <inheritdoc/>
    public Task<JobLockHandle> AcquireAsync(string name, TimeSpan timeout, CancellationToken stop = default)
    {
        var scoped = Scoped(name);
        return TakeAsync(scoped, LockKey.Of(scoped), timeout, stop);
    }

    /// <inheritdoc/>
    public Task<JobLockHandle> AcquireAsync(LockKey key, TimeSpan timeout, CancellationToken stop = default) => TakeAsync(null, key, timeout, stop);

    /// <inheritdoc/>
    public JobLockHandle? TryAcquire(string name, CancellationToken stop = default) => Blocking.Wait(TryAcquireAsync(name, stop));

    /// <inheritdoc/>
    public JobLockHandle? TryAcquire(LockKey key, CancellationToken stop = default) => Blocking.Wait(TryAcquireAsync(key, stop));

    /// <inheritdoc/>
    public JobLockHandle Acquire(string name, TimeSpan timeout, CancellationToken stop = default) => Blocking.Wait(AcquireAsync(name, timeout, stop));

    /// <inheritdoc/>
    public JobLockHandle Acquire(LockKey key, TimeSpan timeout, CancellationToken stop = default) => Blocking.Wait(AcquireAsync(key, timeout, stop));

    /// <summary>Releases every lock and closes the connection.</summary>
    public async ValueTask DisposeAsync()
    {
        await _session.DisposeAsync().ConfigureAwait(false);
        if (_ownedSource is not null) await _ownedSource.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Releases every lock and closes the connection.</summary>
    public void Dispose() => Blocking.Wait(DisposeAsync().AsTask());

    /// <inheritdoc/>
    Task<JobLockHandle?> ILockKeeper.TryTakeAsync(string? name, LockKey key, Holder run, CancellationToken stop) => TryTakeAsync(name, key, run, stop);

    /// <inheritdoc/>
    async Task<Holder?> ILockKeeper.FindHolderAsync(LockKey key, CancellationToken stop) =>
        _held.Find(key)?.Holder ?? await _session.FindHolderAsync(key, stop).ConfigureAwait(false);

    private static Holder ByHand => new() { Run = "code that took it by hand" };

    private async Task<JobLockHandle?> TryTakeAsync(string? name, LockKey key, Holder run, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();

        var handle = new JobLockHandle(name, key, run with { Application = _options.ApplicationName }, ReleaseAsync);
        if (!_held.TryReserve(handle)) return null;

        var granted = false;
        try
        {
            granted = await _session.TryTakeAsync(handle, stop).ConfigureAwait(false);
            return granted ? handle : null;
        }
        finally
        {
            if (!granted) _held.Free(handle);
        }
    }

    private async Task ReleaseAsync(JobLockHandle handle)
    {
        await _session.ReleaseAsync(handle).ConfigureAwait(false);
        _held.Free(handle);
    }

    private async Task<JobLockHandle> TakeAsync(string? name, LockKey key, TimeSpan timeout, CancellationToken stop)
    {
        if (timeout < TimeSpan.Zero && timeout != Timeout.InfiniteTimeSpan)
            throw new ArgumentOutOfRangeException(nameof(timeout), timeout, "A lock cannot be waited for in the past. Use Timeout.InfiniteTimeSpan to wait without limit.");

        var started = _clock.GetTimestamp();
        while (true)
        {
            if (await TryTakeAsync(name, key, ByHand, stop).ConfigureAwait(false) is { } handle) return handle;

            var left = timeout == Timeout.InfiniteTimeSpan ? LookAgainAfter : timeout - _clock.GetElapsedTime(started);
            if (left <= TimeSpan.Zero) throw await TooLateAsync(name, key, timeout, stop).ConfigureAwait(false);

            await Task.Delay(left < LookAgainAfter ? left : LookAgainAfter, _clock, stop).ConfigureAwait(false);
        }
    }

    private async Task<TimeoutException> TooLateAsync(string? name, LockKey key, TimeSpan timeout, CancellationToken stop)
    {
        var holder = await ((ILockKeeper)this).FindHolderAsync(key, stop).ConfigureAwait(false);
        return new($"{name ?? key.ToString()} was not free within {timeout.TotalSeconds.ToString("0.###", CultureInfo.InvariantCulture)} s. It is held by {holder?.ToString() ?? "somebody who has let go meanwhile"}.");
    }

    private string Scoped(string name)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);

        return LockScope.Apply(_options.Scope, name);
    }

    private static JobLocksOptions Validated(Action<JobLocksOptions>? configure)
    {
        var options = new JobLocksOptions();
        configure?.Invoke(options);
        var outcome = new JobLocksOptionsValidation().Validate(Options.DefaultName, options);
        return outcome.Failed ? throw new OptionsValidationException(Options.DefaultName, typeof(JobLocksOptions), outcome.Failures) : options;
    }
}

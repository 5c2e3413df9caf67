using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// Checks every few seconds which other programs hold internal locks of JobLocks. Reads over the lock session: that opens no connection, and works when a pool
/// is exhausted. Used by the thread of the <see cref="ReadModelWriter"/> alone.
/// </summary>
internal sealed class InternalLockWatch(LockDispatcher dispatcher, ForeignInternalLocks locks, JobLocksOptions options, ILogger log)
{
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(2.5);

    private TimeSpan _checkedAt = TimeSpan.MinValue / 2;

    /// <summary>Reads the holders, if it is time.</summary>
    /// <returns>False where this session is not registered as one of JobLocks any more: other processes would list it as another program.</returns>
    public bool TryCheck()
    {
        if (BootClock.Now - _checkedAt < CheckInterval) return true;

        _checkedAt = BootClock.Now;
        if (Blocking.Wait(dispatcher.QueryAsync(session => TryRead(session))) is not { } reading) return true;
        if (!reading.IsKnown) return false;

        var (begun, ended) = locks.Update(reading);
        foreach (var holder in begun) log.InternalLockIsHeld(holder.ToString());
        foreach (var holder in ended) log.InternalLockIsFree(holder.Backend, holder.Class, holder.Number);
        return true;
    }

    private InternalLockReading? TryRead(SessionConnection session)
    {
        try
        {
            return session.Query<InternalLockReading>(WaitQueueSql.For(options, InternalLockSql.Read), 0) is [{ } reading] ? reading : null;
        }
        catch (PostgresException) when (session.IsOpen)
        {
            // The table of the sessions is locked or missing, or the lock table is full. The next check tries again.
            return null;
        }
    }
}

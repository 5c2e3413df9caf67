using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <summary>
/// Looks every few seconds who holds internal locks of JobLocks without being JobLocks, over the lock session: no connection is opened for that, and no pool
/// that is used up keeps it from looking. Used by the thread of the <see cref="ReadModelWriter"/> alone.
/// </summary>
internal sealed class InternalLockWatch(LockDispatcher dispatcher, InternalLocks locks, JobLocksOptions options, ILogger log)
{
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(2.5);

    private TimeSpan _lookedAt = TimeSpan.MinValue / 2;

    /// <summary>Looks, if it is time.</summary>
    /// <returns>False where this session is not written down as one of JobLocks any more: others would take it for another program.</returns>
    public bool TryLook()
    {
        if (BootClock.Now - _lookedAt < BetweenLooks) return true;

        _lookedAt = BootClock.Now;
        if (Blocking.Wait(dispatcher.AskAsync(session => TryAsk(session))) is not { } look) return true;
        if (!look.IsKnown) return false;

        var (begun, ended) = locks.Take(look);
        foreach (var holder in begun) log.InternalLockIsHeld(holder.ToString());
        foreach (var holder in ended) log.InternalLockIsFree(holder.Backend, holder.Class, holder.Number);
        return true;
    }

    private InternalLockLook? TryAsk(SessionConnection session)
    {
        try
        {
            return session.Ask<InternalLockLook>(WaitQueueSql.For(options, InternalLockSql.Look), 0) is [{ } look] ? look : null;
        }
        catch (PostgresException) when (session.StillStands)
        {
            // The table of the sessions is locked or gone, or the lock table is full: it is looked at later.
            return null;
        }
    }
}

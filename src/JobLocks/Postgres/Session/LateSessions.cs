namespace JobLocks.Postgres.Session;

/// <summary>
/// Sessions that did not prove in time that they hold their locks. Their connections stay open while their runs stop: the server may still get packets of
/// this process, and on a close it would release the locks at once. Not thread-safe: used under the mutex of the <see cref="SessionSupervisor"/>.
/// </summary>
internal sealed class LateSessions
{
    private readonly List<(LockSession Session, TimeSpan CloseAt)> _sessions = [];

    /// <summary>Keeps the connection of a session open until a time.</summary>
    public void KeepOpen(LockSession session, TimeSpan closeAt)
    {
        session.KeepOpen();
        _sessions.Add((session, closeAt));
    }

    /// <summary>Closes the connections whose time is over: from now on the server may grant their locks to others in any case.</summary>
    public void CloseExpired(TimeSpan now)
    {
        foreach (var (session, closeAt) in _sessions)
        {
            if (closeAt <= now) session.CloseNow();
        }

        _sessions.RemoveAll(late => late.CloseAt <= now);
    }
}

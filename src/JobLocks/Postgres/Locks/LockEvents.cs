using JobLocks.Postgres.WaitQueue;

namespace JobLocks.Postgres.Locks;

/// <summary>The events for the owner of the <see cref="LockDispatcher"/>. No event is raised under a mutex, and no handler may block.</summary>
internal sealed class LockEvents
{
    /// <summary>A session is open.</summary>
    public Action OnOpened { get; init; } = static () => { };

    /// <summary>Raised with the keys for which at least one wait queue entry can run now.</summary>
    public Action<IReadOnlyList<FreeKey>> OnWaitersCanRun { get; init; } = static _ => { };

    /// <summary>This process listens for notifications from now on. Earlier ones were missed.</summary>
    public Action OnListening { get; init; } = static () => { };

    /// <summary>Raised with the payload of a notification about the wait queue and the backend that sent it.</summary>
    public Action<string, int> OnNotification { get; init; } = static (_, _) => { };
}

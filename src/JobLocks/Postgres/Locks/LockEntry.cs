using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// What this process holds and requests under one key. A session lock is re-entrant: the server would grant one key twice to one session, and cannot
/// tell the readers of a session from its writers. So this entry is checked first, and the session holds at most one lock of the server for the key.
/// Accessed under the mutex of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed class LockEntry(LockKey key)
{
    /// <summary>The state of a signal that other processes see.</summary>
    internal enum Signal
    {
        /// <summary>The signal is not set.</summary>
        None,

        /// <summary>The session was asked to set the signal. The server has not answered yet.</summary>
        Requested,

        /// <summary>The signal is set.</summary>
        Set,
    }

    public LockKey Key => key;

    public LockEntryState State { get; set; }

    /// <summary>The mode in which the lock is requested or held.</summary>
    public LockMode Mode { get; set; }

    /// <summary>One writer, or any number of readers.</summary>
    public List<LockGrant> Grants { get; } = new(1);

    /// <summary>
    /// The number of readers whose <see cref="OperationCode.Join"/> has no answer yet. The lock is not released before they have one.
    /// </summary>
    public int Joining { get; set; }

    /// <summary>The requests of this process that wait for the lock, in the order of arrival.</summary>
    public LinkedList<AcquireRequest> Waiters { get; } = [];

    /// <summary>The requests for a slot of this name that wait until another slot request is answered.</summary>
    public Queue<(AcquireRequest Request, int Index)> SlotWaiters { get; } = [];

    /// <summary>Whether a slot request for this name has no answer yet. A second one at the same time could be granted the same slot.</summary>
    public bool IsRequestingSlot { get; set; }

    /// <summary>Shows other processes that a request of this process waits.</summary>
    public Signal WaiterSignal { get; set; }

    /// <summary>Shows the readers of other processes that a writer of this process waits.</summary>
    public Signal WriterSignal { get; set; }

    /// <summary>The key of the wait queue whose next run can be woken after a release: for a slot, the key of its name.</summary>
    public LockKey? QueueKey { get; set; }

    /// <summary>The fencing token of the grant. Readers that share one lock share its token.</summary>
    public long Token { get; set; }

    public bool IsUnused =>
        State == LockEntryState.Free && Waiters.Count == 0 && SlotWaiters.Count == 0 && !IsRequestingSlot && WaiterSignal == Signal.None && WriterSignal == Signal.None && Joining == 0;

    /// <summary>Whether the server can be asked for the lock: no lock of this process conflicts with the mode.</summary>
    public bool IsFreeFor(LockMode mode) =>
        State == LockEntryState.Free || (mode == LockMode.Shared && Mode == LockMode.Shared && State is LockEntryState.Requested or LockEntryState.Held);
}

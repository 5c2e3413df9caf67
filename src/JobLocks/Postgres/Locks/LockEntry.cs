using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// What this process has and wants under one key. A session lock is re-entrant: the server would grant one key twice to one session,
/// and cannot tell its readers from its writers. So this is asked first, and the server holds at most one lock of ours for it.
/// </summary>
internal sealed class LockEntry(LockKey key)
{
    /// <summary>Something that other processes see.</summary>
    internal enum Signal
    {
        /// <summary>Not there.</summary>
        None,

        /// <summary>The session has been told to set it.</summary>
        Requested,

        /// <summary>There.</summary>
        Set,
    }

    public LockKey Key => key;

    public LockEntryState State { get; set; }

    /// <summary>How it is asked for or held.</summary>
    public LockMode Mode { get; set; }

    /// <summary>One writer, or any number of readers.</summary>
    public List<LockGrant> Grants { get; } = new(1);

    /// <summary>Readers that ask whether they may share: until they have their answer, it is not given back.</summary>
    public int Joining { get; set; }

    /// <summary>Those who wait for it here, in the order of their arrival.</summary>
    public LinkedList<AcquireRequest> Waiters { get; } = [];

    /// <summary>Those who want a slot of this name while another request for one is on its way.</summary>
    public Queue<(AcquireRequest Request, int Index)> SlotWaiters { get; } = [];

    /// <summary>Whether a request for a slot of this name is on its way: a second one at the same time could be given the same slot.</summary>
    public bool IsRequestingSlot { get; set; }

    /// <summary>Whether other processes see that somebody waits here.</summary>
    public Signal WaiterSignal { get; set; }

    /// <summary>Whether readers of other processes see that a writer waits here.</summary>
    public Signal WriterSignal { get; set; }

    /// <summary>The key of the line whose next one may come when it is given back: that of the name, where this is one of its slots.</summary>
    public LockKey? QueueKey { get; set; }

    /// <summary>The token of the grant; readers who share one share it.</summary>
    public long Token { get; set; }

    public bool IsUnused =>
        State == LockEntryState.Free && Waiters.Count == 0 && SlotWaiters.Count == 0 && !IsRequestingSlot && WaiterSignal == Signal.None && WriterSignal == Signal.None && Joining == 0;

    /// <summary>Whether the server may be asked for it: the process itself does not stand in the way.</summary>
    public bool IsFreeFor(LockMode mode) =>
        State == LockEntryState.Free || (mode == LockMode.Shared && Mode == LockMode.Shared && State is LockEntryState.Requested or LockEntryState.Held);
}

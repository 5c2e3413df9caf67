using System.Diagnostics;
using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// The request of one caller: all of several locks, or none. Its members change only under the mutex of the <see cref="LockDispatcher"/>, and not any more
/// once <see cref="Answer"/> has completed. The caller awaits <see cref="Answer"/>, and then reads <see cref="Grants"/> and <see cref="IsRefusedForQueue"/>.
/// </summary>
internal sealed class AcquireRequest(IReadOnlyList<LockRequest> requests, Holder holder, bool waits)
{
    /// <summary>The answer when no lock request was refused.</summary>
    public const int Granted = -1;

    // The continuations run asynchronously: otherwise they would block the thread of the session.
    private readonly TaskCompletionSource<int> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>
    /// <see cref="Granted"/>, or the index of the first lock request that was refused. A thread can block on it: no other pool thread is needed to
    /// complete it.
    /// </summary>
    public Task<int> Answer => _answer.Task;

    /// <summary>Sorted by key. All processes use the same order.</summary>
    public IReadOnlyList<LockRequest> Requests => requests;

    public Holder Holder => holder;

    /// <summary>Whether the request waits instead of being refused. Such a request has exactly one lock request.</summary>
    public bool Waits => waits;

    /// <summary>The stack of the caller; null if stacks are not captured.</summary>
    public StackTrace? Stack { get; init; }

    /// <summary>The entry limit: entries of the wait queue with smaller numbers precede the request, see <see cref="Locks.EntryLimit"/>.</summary>
    public long EntryLimit { get; set; }

    /// <summary>The key of the lock for which the run was woken; null if it was not woken.</summary>
    public LockKey? WokenFor { get; init; }

    /// <summary>
    /// When the run or the caller began to wait for the lock <see cref="WaitingFor"/>; null where it has not waited. A run that requests several locks has waited
    /// for only one of them.
    /// </summary>
    public DateTimeOffset? WaitingSince { get; set; }

    /// <summary>The key of the lock that <see cref="WaitingSince"/> is about.</summary>
    public LockKey WaitingFor { get; init; } = requests[0].Key;

    /// <summary>Whether the request was refused because entries of the wait queue precede it, and not because the lock is held.</summary>
    public bool IsRefusedForQueue { get; set; }

    /// <summary>The sequence number of the request in the order of arrival.</summary>
    public long Arrival { get; set; }

    /// <summary>The node of this request in <see cref="LockEntry.Waiters"/> of its key; null while it is not in that list.</summary>
    public LinkedListNode<AcquireRequest>? Node { get; set; }

    /// <summary>The grants so far, by the index of the lock request.</summary>
    public LockGrant?[] Grants { get; } = new LockGrant?[requests.Count];

    /// <summary>The number of lock requests without an answer.</summary>
    public int Unanswered { get; set; } = requests.Count;

    /// <summary>The index of the first refused lock request; <see cref="Granted"/> if there is none.</summary>
    public int RefusedIndex { get; set; } = Granted;

    /// <summary>Whether an operation for this request was noted for the session and has no answer yet.</summary>
    public bool IsPending { get; set; }

    /// <summary>Whether the caller stopped waiting. Locks that are granted from now on are released.</summary>
    public bool IsAbandoned { get; set; }

    /// <summary>Whether the request was repeated once, because the session broke or its statement failed before the answer.</summary>
    public bool WasInterrupted { get; set; }

    /// <summary>The exception for the caller; null to complete with <see cref="RefusedIndex"/>.</summary>
    public Exception? Failure { get; set; }

    /// <summary>The entry limit of one lock request. A run that requests several locks was woken for only one of them.</summary>
    public long EntryLimitFor(int index) => requests[index].Key == WokenFor ? Locks.EntryLimit.Woken : EntryLimit;

    /// <summary>Passes the answers of requests on to their callers. Called without a mutex.</summary>
    public static void CompleteAll(List<AcquireRequest> done)
    {
        foreach (var request in done) request.Complete();
    }

    private void Complete()
    {
        if (Failure is null) _answer.TrySetResult(RefusedIndex);
        else _answer.TrySetException(Failure);
    }
}

using System.Diagnostics;
using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// What one caller asks for: all of some locks, or none. Its members change only behind the door of the <see cref="LockDispatcher"/>;
/// only <see cref="Answer"/> is for the caller.
/// </summary>
internal sealed class AcquireRequest(IReadOnlyList<LockRequest> requests, Holder holder, bool waits)
{
    /// <summary>The answer when nothing was refused.</summary>
    public const int Granted = -1;

    // A continuation that ran in place would hold up the session.
    private readonly TaskCompletionSource<int> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary><see cref="Granted"/>, or the first request that was refused. A thread may block on it: no other thread is needed to complete it.</summary>
    public Task<int> Answer => _answer.Task;

    /// <summary>By key, the same order for everybody.</summary>
    public IReadOnlyList<LockRequest> Requests => requests;

    public Holder Holder => holder;

    /// <summary>Stands in line instead of being refused. Such a acquire has one request.</summary>
    public bool Waits => waits;

    /// <summary>Where the caller asks; null where that is not captured.</summary>
    public StackTrace? Stack { get; init; }

    /// <summary>Who goes first, of those who stand in the line: see <see cref="QueuePrecedence"/>.</summary>
    public long Precedence { get; set; }

    /// <summary>The lock for which its turn has come; null for none.</summary>
    public LockKey? WokenFor { get; init; }

    /// <summary>Whether it was refused for the sake of those who stand in the line, and not because somebody has the lock.</summary>
    public bool WasRefusedForQueue { get; set; }

    /// <summary>Its number in the order of arrival.</summary>
    public long Arrival { get; set; }

    /// <summary>Its element in the list of the waiting acquires of its key; null while it is not in that list.</summary>
    public LinkedListNode<AcquireRequest>? Node { get; set; }

    /// <summary>Those granted so far, by request.</summary>
    public LockGrant?[] Grants { get; } = new LockGrant?[requests.Count];

    /// <summary>How many requests have no answer yet.</summary>
    public int Unanswered { get; set; } = requests.Count;

    public int Refused { get; set; } = Granted;

    /// <summary>Whether the session has been told, and has not answered yet.</summary>
    public bool IsPending { get; set; }

    /// <summary>The caller has gone: what is granted now is given back.</summary>
    public bool IsAbandoned { get; set; }

    /// <summary>Asked of a session that broke before it answered.</summary>
    public bool WasInterrupted { get; set; }

    /// <summary>What the caller is told when all requests are answered; null for a plain answer.</summary>
    public Exception? Failure { get; set; }

    /// <summary>Who goes first, of those who stand in the line of one of its requests: of several locks, its turn has come for one.</summary>
    public long PrecedenceFor(int index) => requests[index].Key == WokenFor ? QueuePrecedence.Woken : Precedence;

    public void Complete()
    {
        if (Failure is null) _answer.TrySetResult(Refused);
        else _answer.TrySetException(Failure);
    }
}

using System.Diagnostics;
using JobLocks.Locks;

namespace JobLocks.InMemory.Locks;

/// <summary>
/// A caller that waits for a lock. Its members change only under the mutex of the <see cref="MemoryDispatcher"/>. The caller awaits <see cref="Answer"/>, and
/// then reads <see cref="Grant"/>.
/// </summary>
internal sealed class MemoryWaiter(LockRequest request, Holder holder, StackTrace? stack)
{
    // The continuations run asynchronously: they are code of users, and the thread that completes the task releases a lock.
    private readonly TaskCompletionSource _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public LockRequest Request => request;

    public Holder Holder => holder;

    /// <summary>The stack of the caller; null where stacks are not captured.</summary>
    public StackTrace? Stack => stack;

    /// <summary>Completes when the lock is granted. A thread can block on it: no other pool thread is needed to complete it.</summary>
    public Task Answer => _answer.Task;

    /// <summary>The grant; null while the caller waits.</summary>
    public LockGrant? Grant { get; set; }

    /// <summary>When the caller began to wait; null where the lock was free.</summary>
    public DateTimeOffset? WaitingSince { get; set; }

    /// <summary>
    /// The entry number with which the caller is ordered among the waiting runs. It is drawn when entries first precede the caller; null before that.
    /// </summary>
    public long? Number { get; set; }

    public void Complete() => _answer.TrySetResult();

    public void Fail(Exception failure) => _answer.TrySetException(failure);
}

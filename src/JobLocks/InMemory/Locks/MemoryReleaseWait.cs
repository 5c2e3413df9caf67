using JobLocks.Locks;

namespace JobLocks.InMemory.Locks;

/// <summary>
/// Waits until some holders have released their locks. Its members are used under the mutex of the <see cref="MemoryDispatcher"/>, except <see cref="Done"/>.
/// </summary>
internal sealed class MemoryReleaseWait(IReadOnlyList<LockGrant> holders)
{
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HashSet<LockGrant> _remaining = [.. holders];

    /// <summary>The holders at the time of the request.</summary>
    public IReadOnlyList<LockGrant> Holders => holders;

    /// <summary>Completes when all of them have released their locks.</summary>
    public Task Done => _done.Task;

    public void Released(LockGrant grant)
    {
        if (_remaining.Remove(grant) && _remaining.Count == 0) _done.TrySetResult();
    }

    public void Complete() => _done.TrySetResult();
}

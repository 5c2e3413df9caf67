using System.Collections;

namespace JobLocks;

/// <summary>Several locks that were acquired together. Disposing the set releases all of them.</summary>
/// <remarks>Thread-safe, like its handles. Disposing twice is harmless.</remarks>
public sealed class JobLockSet : IReadOnlyList<JobLockHandle>, IDisposable, IAsyncDisposable
{
    private readonly IReadOnlyList<JobLockHandle> _handles;

    internal JobLockSet(IReadOnlyList<JobLockHandle> handles) => _handles = handles;

    /// <summary>The number of locks. Names with the same key count once.</summary>
    public int Count => _handles.Count;

    /// <summary>Cancelled when the session can no longer prove that it holds the locks. All of them are lost together.</summary>
    public CancellationToken Lost => _handles[0].Lost;

    /// <summary>The handles, in the order in which their names were given.</summary>
    /// <param name="index">The index, from 0.</param>
    public JobLockHandle this[int index] => _handles[index];

    /// <inheritdoc/>
    public IEnumerator<JobLockHandle> GetEnumerator() => _handles.GetEnumerator();

    /// <summary>Releases all locks.</summary>
    public void Dispose()
    {
        foreach (var handle in _handles) handle.Dispose();
    }

    /// <summary>Releases all locks.</summary>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return ValueTask.CompletedTask;
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

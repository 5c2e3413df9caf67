using System.Diagnostics;

namespace JobLocks.Primitives;

/// <summary>
/// A mutex under which threads can also wait for a change of the state that it guards. It is acquired with the <c>lock</c> statement. Where no thread waits,
/// a <see cref="Lock"/> is enough.
/// </summary>
internal sealed class StateMutex
{
    /// <summary>Throws in a debug build if the calling thread does not hold the mutex. A method that demands the mutex begins with it.</summary>
    /// <exception cref="SynchronizationLockException">The calling thread does not hold the mutex.</exception>
    [Conditional("DEBUG")]
    public void AssertHeld()
    {
        if (!Monitor.IsEntered(this)) throw new SynchronizationLockException("The calling thread must hold the mutex.");
    }

    /// <summary>Releases the mutex, waits until another thread signals a change or the time is over, and acquires the mutex again.</summary>
    public void Wait(TimeSpan atMost) => Monitor.Wait(this, atMost);

    /// <summary>Wakes all threads that wait for a change.</summary>
    public void SignalChange() => Monitor.PulseAll(this);
}

using JobLocks.Primitives;

namespace JobLocks;

/// <summary>A run was declared to fail when its lock is taken, and it was taken. The message names the lock and its holder.</summary>
public sealed class JobLockConflictException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">Which lock, who holds it, since when.</param>
    public JobLockConflictException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with what caused it.</summary>
    /// <param name="message">Which lock, who holds it, since when.</param>
    /// <param name="innerException">What went wrong underneath.</param>
    public JobLockConflictException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }
}

using JobLocks.Primitives;

namespace JobLocks;

/// <summary>The lock of a run is held, and its rule is <see cref="OnConflict.Fail"/>. The message names the lock and its holder.</summary>
public sealed class JobLockConflictException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">The lock, its holder, since when it is held.</param>
    public JobLockConflictException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    /// <param name="message">The lock, its holder, since when it is held.</param>
    /// <param name="innerException">The cause.</param>
    public JobLockConflictException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }
}

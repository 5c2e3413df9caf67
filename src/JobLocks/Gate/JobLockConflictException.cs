using JobLocks.Primitives;

namespace JobLocks;

/// <summary>
/// A run fails because it did not get its lock: its rule is <see cref="OnConflict.Fail"/>, or it has waited for as long as it may. The message names the lock,
/// and its holder if one is known.
/// </summary>
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

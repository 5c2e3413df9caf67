using JobLocks.Primitives;

namespace JobLocks;

/// <summary>The lock of a run was lost while the run was under way: another one may have got it since. The message names the lock and the cause.</summary>
public sealed class JobLockLostException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">Which lock, and why it was lost.</param>
    public JobLockLostException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with what caused it.</summary>
    /// <param name="message">Which lock, and why it was lost.</param>
    /// <param name="innerException">What ended the run, or what broke the connection.</param>
    public JobLockLostException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }
}

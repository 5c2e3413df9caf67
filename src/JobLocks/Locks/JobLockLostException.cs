using JobLocks.Primitives;

namespace JobLocks;

/// <summary>The lock of a run was lost during the run, and another run may hold it since. The message names the lock and the cause.</summary>
public sealed class JobLockLostException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">The lock, and why it was lost.</param>
    public JobLockLostException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    /// <param name="message">The lock, and why it was lost.</param>
    /// <param name="innerException">The error that ended the run, or that broke the connection.</param>
    public JobLockLostException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }
}

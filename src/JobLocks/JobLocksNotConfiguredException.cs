using JobLocks.Primitives;

namespace JobLocks;

/// <summary>A job has <c>[JobLock]</c>, but its scheduler is not configured to use JobLocks. The message contains the line of code to add.</summary>
public sealed class JobLocksNotConfiguredException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">The job, and the line of code to add.</param>
    public JobLocksNotConfiguredException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    /// <param name="message">The job, and the line of code to add.</param>
    /// <param name="innerException">The cause.</param>
    public JobLocksNotConfiguredException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }
}

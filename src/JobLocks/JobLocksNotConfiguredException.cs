using JobLocks.Primitives;

namespace JobLocks;

/// <summary>A job carries <c>[JobLock]</c>, but its scheduler was never told to use JobLocks. The message has the line to add.</summary>
public sealed class JobLocksNotConfiguredException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">The job, and the line to add.</param>
    public JobLocksNotConfiguredException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with what caused it.</summary>
    /// <param name="message">The job, and the line to add.</param>
    /// <param name="innerException">What went wrong underneath.</param>
    public JobLocksNotConfiguredException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }
}

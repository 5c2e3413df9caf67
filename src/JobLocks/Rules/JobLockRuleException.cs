using JobLocks.Primitives;

namespace JobLocks;

/// <summary>The declaration of a lock is wrong. The message quotes it, names the job, and says what would work.</summary>
public sealed class JobLockRuleException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">The declaration as written, the job, the mistake, and what would work.</param>
    public JobLockRuleException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    /// <param name="message">The declaration as written, the job, the mistake, and what would work.</param>
    /// <param name="innerException">The cause.</param>
    public JobLockRuleException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }
}

using JobLocks.Primitives;

namespace JobLocks;

/// <summary>A lock was declared in a way that cannot work. The message quotes it, names the job, and says what would work.</summary>
public sealed class JobLockRuleException : InvalidOperationException
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">The declaration as written, the job, what is wrong, what would work.</param>
    public JobLockRuleException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with what caused it.</summary>
    /// <param name="message">The declaration as written, the job, what is wrong, what would work.</param>
    /// <param name="innerException">What went wrong underneath.</param>
    public JobLockRuleException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }
}

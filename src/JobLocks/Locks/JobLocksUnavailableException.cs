using JobLocks.Primitives;

namespace JobLocks;

/// <summary>
/// The lock could not be requested or decided: the server cannot be reached, its lock table is full, the process has used up its share of that table, or a
/// former session of the process still holds the lock. No lock is held; a run that needs it is rescheduled.
/// </summary>
public sealed class JobLocksUnavailableException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">The server, the database and the cause.</param>
    public JobLocksUnavailableException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    /// <param name="message">The server, the database and the cause.</param>
    /// <param name="innerException">The cause.</param>
    public JobLocksUnavailableException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }

    /// <summary>Whether a setting must be changed, so that waiting does not help.</summary>
    internal bool NeedsChange { get; init; }

    /// <summary>The heading of a page above the message where only inspection is impossible at the moment; null where the server cannot be asked.</summary>
    internal string? InspectionErrorTitle { get; init; }
}

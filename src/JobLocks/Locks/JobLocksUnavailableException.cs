using JobLocks.Primitives;

namespace JobLocks;

/// <summary>PostgreSQL cannot be asked for a lock. Nothing was taken; a run that needed it is kept and tried again.</summary>
public sealed class JobLocksUnavailableException : Exception
{
    /// <summary>Creates the exception.</summary>
    /// <param name="message">Server, database and cause.</param>
    public JobLocksUnavailableException(string message)
        : base(DisplayText.Message(message))
    {
    }

    /// <summary>Creates the exception with what caused it.</summary>
    /// <param name="message">Server, database and cause.</param>
    /// <param name="innerException">What went wrong underneath.</param>
    public JobLocksUnavailableException(string message, Exception? innerException)
        : base(DisplayText.Message(message), innerException)
    {
    }

    /// <summary>Whether somebody must change a setting: waiting does not help.</summary>
    internal bool NeedsChange { get; init; }

    /// <summary>What the pages say above the message where only looking is not possible at this moment; null where the server cannot be asked.</summary>
    internal string? LookTrouble { get; init; }
}

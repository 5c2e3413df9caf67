namespace JobLocks.Naming;

/// <summary>A job and the arguments of one run: all that a lock name is made of.</summary>
internal abstract record JobInvocation
{
    /// <summary>The job.</summary>
    public required JobSignature Job { get; init; }

    /// <summary>In the order of the method's parameters, or of the data map where there is no order.</summary>
    public required IReadOnlyList<JobArgument> Arguments { get; init; }

    /// <summary>How the scheduler itself writes an argument that is more than a single value.</summary>
    public required Func<object, string> ToJson { get; init; }
}

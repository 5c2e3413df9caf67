namespace JobLocks.Naming;

/// <summary>A job and the arguments of one run, from which a lock name is built.</summary>
internal abstract record JobInvocation
{
    /// <summary>The job.</summary>
    public required JobSignature Job { get; init; }

    /// <summary>The arguments, in the order of the parameters of the method; in any order where they come from a data map.</summary>
    public required IReadOnlyList<JobArgument> Arguments { get; init; }

    /// <summary>Serializes an argument as the scheduler does. Used for arguments that are no single value.</summary>
    public required Func<object, string> ToJson { get; init; }
}

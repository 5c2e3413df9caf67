namespace JobLocks.Naming;

/// <summary>What is known of a job before it runs, for a rule to be checked against.</summary>
/// <param name="TypeName">The job's class as <see cref="Type.ToString"/> writes it: no assembly, no version.</param>
/// <param name="Method">The method, where the scheduler calls one by name; otherwise null.</param>
/// <param name="Parameters">The method's parameters in order; null where arguments have names only, known when the run begins.</param>
internal sealed record JobSignature(string TypeName, string? Method, IReadOnlyList<JobParameter>? Parameters)
{
    public static JobSignature Of(Type type, string? method = null, IReadOnlyList<JobParameter>? parameters = null) =>
        new(type.ToString(), method, parameters);

    /// <summary>The job as error messages call it: <c>ClientSync.Run</c>.</summary>
    public string DisplayName
    {
        get
        {
            var generic = TypeName.IndexOf('`', StringComparison.Ordinal);
            var start = TypeName.LastIndexOfAny(['.', '+'], generic < 0 ? TypeName.Length - 1 : generic) + 1;
            return Method is null ? TypeName[start..] : $"{TypeName[start..]}.{Method}";
        }
    }
}

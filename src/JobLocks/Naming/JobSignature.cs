namespace JobLocks.Naming;

/// <summary>The properties of a job that are known before a run. Rules are checked against them. Immutable.</summary>
/// <param name="TypeName">The class of the job as <see cref="Type.ToString"/> writes it: without assembly and version.</param>
/// <param name="Method">The name of the method where the scheduler calls a method by name; otherwise null.</param>
/// <param name="Parameters">The parameters of the method, in order; null where arguments have only names, which are known when the run begins.</param>
internal sealed record JobSignature(string TypeName, string? Method, IReadOnlyList<JobParameter>? Parameters)
{
    public static JobSignature Of(Type type, string? method = null, IReadOnlyList<JobParameter>? parameters = null) =>
        new(type.ToString(), method, parameters);

    /// <summary>The name of the job in error messages: <c>ClientSync.Run</c>.</summary>
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

namespace JobLocks.Naming;

/// <summary>Puts the scope of an application before its lock names, so that two applications in one database do not share names.</summary>
internal static class LockScope
{
    public static string Apply(string? scope, string name) => scope is null ? name : $"{scope}:{name}";
}

namespace JobLocks.Naming;

/// <summary>Keeps the names of two applications in one database apart.</summary>
internal static class LockScope
{
    public static string Apply(string? scope, string name) => scope is null ? name : $"{scope}:{name}";
}

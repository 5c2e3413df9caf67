
namespace JobLocks.Chaos;

/// <summary>What the inspector showed at one moment.</summary>
/// <param name="Since">The last stamp before the look began.</param>
/// <param name="Until">The last stamp after it.</param>
/// <param name="Before">What PostgreSQL said right before it: the key and the backend of each lock.</param>
/// <param name="After">The same right after it.</param>
/// <param name="Shown">The key of the name, the key of the lock, the backend, and the run; 0 where none was named.</param>
internal sealed record Look(
    long Since,
    long Until,
    HashSet<(long Key, int Backend)> Before,
    HashSet<(long Key, int Backend)> After,
    IReadOnlyList<(long Line, long Key, int Backend, int Run)> Shown)
{
    /// <summary>The series of which an occurrence was shown as waiting, once for each such occurrence.</summary>
    public IReadOnlyList<int> Waiting { get; init; } = [];
}

using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;

namespace JobLocks.Benchmarks;

/// <summary>What a case is given.</summary>
internal sealed record Bench(Database Database, Effort Effort)
{
    /// <summary>Ours first, then everyone it is compared with.</summary>
    public IReadOnlyList<ILockPeer> Peers(string @case) => [Ours(@case), Theirs(@case, isDedicated: false), Theirs(@case, isDedicated: true)];

    public ILockPeer Ours(string @case)
    {
        var application = ApplicationOfOurs(@case);
        return new Ours(Database.ConnectionString(application), application);
    }

    public ILockPeer Theirs(string @case, bool isDedicated) => new TheirLocks(Database, ApplicationOfTheirs(@case, isDedicated), isDedicated);

    public static string ApplicationOfOurs(string @case) => $"{@case} ours";

    public static string ApplicationOfTheirs(string @case, bool isDedicated) => $"{@case} {(isDedicated ? "dedicated" : "shared")}";

    /// <summary>What is going on, for a person who waits. Not among the results.</summary>
    public static void Say(string what) => Console.Error.WriteLine(what);
}

using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Inspection;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres;

/// <summary>
/// Writes down how many this process lets in under a name, once for each name, and warns where another process said another number.
/// Each process keeps to its own: never more than the larger of them run.
/// </summary>
internal sealed class DeclaredLimits(JobLocksOptions options, ILogger log)
{
    // Names may be made of arguments, without end.
    private const int MostNames = 1000;

    private readonly HashSet<LockKey> _known = [];

    /// <summary>Whether this name has not been looked up yet. Behind the door of the desk.</summary>
    public bool IsNew(LockWish wish) => options.Schema is not null && _known.Count < MostNames && _known.Add(wish.Key);

    /// <summary>Says our number and reads the one that was said before.</summary>
    public void Compare(OpenedSession session, LockWish wish)
    {
        var given = new { name = NameOf(wish), slots = wish.Limit, by = options.ApplicationName };
        foreach (var said in session.Ask<Said>(SchemaSql.For(options.Schema!, SchemaSql.SayLimit), given).OfType<Said>())
        {
            if (said.Slots != wish.Limit) log.LimitsDiffer(wish.ToString(), wish.Limit, said.Slots, said.By);
        }
    }

    /// <summary>Two long names may begin alike: the key tells them apart.</summary>
    private static string NameOf(LockWish wish) => wish.Name is { Length: > Shown.LongestName } ? $"{wish}, key {wish.Key}" : wish.ToString();

    private sealed record Said(int Slots, string By);
}

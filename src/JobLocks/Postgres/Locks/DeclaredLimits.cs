using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Schema;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// Writes down how many this process lets in under a name, once for each name, and warns where another process said another number.
/// Each process keeps to its own: never more than the larger of them run.
/// </summary>
internal sealed class DeclaredLimits(JobLocksOptions options, ILogger log)
{
    // Names may be made of arguments, without end.
    private const int MostNames = 1000;

    // A locked table is not waited for with every new name.
    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromSeconds(1);

    private readonly HashSet<LockKey> _known = [];
    private TimeSpan _pausedUntil = TimeSpan.MinValue / 2;

    /// <summary>Whether this name has not been looked up yet. Behind the door of the dispatcher.</summary>
    public bool IsNew(LockRequest request) => options.Schema is not null && BootClock.Now >= _pausedUntil && _known.Count < MostNames && _known.Add(request.Key);

    /// <summary>The table is locked or lacks a right, for example. The name is compared when it is granted again. Behind the door of the dispatcher.</summary>
    public void Failed(LockRequest request)
    {
        _known.Remove(request.Key);
        _pausedUntil = BootClock.Now + PauseAfterFailure;
    }

    /// <summary>Says our number and reads the one that was said before.</summary>
    public void Compare(SessionConnection session, LockRequest request)
    {
        var declaration = new { name = NameOf(request), slots = request.Limit, by = options.ApplicationName };
        foreach (var other in session.Ask<Declaration>(SchemaSql.For(options.Schema!, SchemaSql.DeclareLimit), declaration).OfType<Declaration>())
        {
            if (other.Slots != request.Limit) log.LimitsDiffer(request.ToString(), request.Limit, other.Slots, DisplayText.Name(other.By));
        }
    }

    /// <summary>Two long names may begin alike: the key tells them apart.</summary>
    private static string NameOf(LockRequest request) => request.Name is { Length: > DisplayText.LongestName } ? $"{request}, key {request.Key}" : request.ToString();

    private sealed record Declaration(int Slots, string By);
}

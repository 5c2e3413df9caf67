using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Schema;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// Records the limit that this process declares for a name, once for each name, and logs a warning if another process declared a different one. Each
/// process applies its own limit: the number of concurrent runs never exceeds the larger of the two.
/// </summary>
internal sealed class DeclaredLimits(JobLocksOptions options, ILogger log)
{
    // Names can contain arguments, so their number is unbounded.
    private const int MostNames = 1000;

    // Without a pause, each new name would wait for a locked table.
    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromSeconds(1);

    private readonly HashSet<LockKey> _known = [];
    private TimeSpan _pausedUntil = TimeSpan.MinValue / 2;

    /// <summary>Whether the limit of this name was not compared yet. Called under the mutex of the dispatcher.</summary>
    public bool IsNew(LockRequest request) => options.Schema is not null && BootClock.Now >= _pausedUntil && _known.Count < MostNames && _known.Add(request.Key);

    /// <summary>
    /// The comparison failed, for example because the table is locked or the role lacks a right. The name is compared again at its next grant. Called
    /// under the mutex of the dispatcher.
    /// </summary>
    public void Failed(LockRequest request)
    {
        _known.Remove(request.Key);
        _pausedUntil = BootClock.Now + PauseAfterFailure;
    }

    /// <summary>Writes the limit of this process and compares it with the limit that was declared before.</summary>
    public void Compare(SessionConnection session, LockRequest request)
    {
        var declaration = new { name = NameOf(request), slots = request.Limit, by = options.ApplicationName };
        foreach (var other in session.Query<Declaration>(SchemaSql.For(options.Schema!, SchemaSql.DeclareLimit), declaration).OfType<Declaration>())
        {
            if (other.Slots != request.Limit) log.LimitsDiffer(request.ToString(), request.Limit, other.Slots, DisplayText.Name(other.By));
        }
    }

    /// <summary>Long names are cut for display. The key distinguishes names with the same beginning.</summary>
    private static string NameOf(LockRequest request) => request.Name is { Length: > DisplayText.LongestName } ? $"{request}, key {request.Key}" : request.ToString();

    private sealed record Declaration(int Slots, string By);
}

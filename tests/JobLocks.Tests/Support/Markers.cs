using System.Diagnostics;
using JobLocks.Testing.Postgres;

namespace JobLocks.Tests.Support;

/// <summary>How those who wait show themselves to other processes: advisory locks with a key of two parts.</summary>
internal static class Markers
{
    /// <summary>"JLwt": somebody waits.</summary>
    public const long Waiting = 1246525300;

    /// <summary>"JLin": a writer waits.</summary>
    public const long Writing = 1246521710;

    private const string Shown =
        """
        SELECT count(*)
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    objsubid = 2
        AND    granted
        AND    classid = $1
        AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """;

    /// <summary>Returns once so many sessions show that somebody waits in them.</summary>
    public static Task WhenShownAsync(string connectionString, long kind, CancellationToken stop, int sessions = 1) =>
        UntilAsync(async () => await CountAsync(connectionString, kind) == sessions, stop);

    public static async Task<long> CountAsync(string connectionString, long kind) => (long)(await LockTable.AskAsync(connectionString, Shown, kind))!;

    /// <summary>Asks again and again; the test's own limit ends it.</summary>
    public static async Task UntilAsync(Func<Task<bool>> isSo, CancellationToken stop)
    {
        var asked = Stopwatch.StartNew();
        while (!await isSo())
        {
            stop.ThrowIfCancellationRequested();
            if (asked.Elapsed > TimeSpan.FromSeconds(30)) throw new TimeoutException("It did not come true within 30 seconds.");
            await Task.Delay(DatabaseState.LookAgainAfter, stop);
        }
    }
}

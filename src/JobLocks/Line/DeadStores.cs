using JobLocks.Diagnostics;
using JobLocks.Inspection;
using JobLocks.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Line;

/// <summary>
/// Job stores in the memory of a process that has died: the runs that waited there are gone with it, and their places would hold up the line.
/// Used by the thread of the <see cref="LineWatch"/> alone.
/// </summary>
internal sealed class DeadStores(LineStatements statements, JobLocksOptions options, ILogger log)
{
    /// <summary>What the names of such stores begin with.</summary>
    public const string Volatile = "memory: ";

    private readonly Dictionary<string, TimeSpan> _unseenSince = new(StringComparer.Ordinal);

    /// <summary>Whether a store of this name is gone with its process.</summary>
    public static bool IsVolatile(string store) => store.StartsWith(Volatile, StringComparison.Ordinal);

    /// <summary>
    /// Takes away the places of stores that nobody has swept for so long that their process cannot have been looking for a new session
    /// meanwhile: a process sweeps for its own store as long as it lives.
    /// </summary>
    public void Bury()
    {
        var unled = Unled();
        foreach (var store in _unseenSince.Keys.Except(unled, StringComparer.Ordinal).ToList()) _unseenSince.Remove(store);
        foreach (var store in unled)
        {
            if (_unseenSince.TryAdd(store, BootClock.Now) || BootClock.Now - _unseenSince[store] < options.LostAfter) continue;

            Blocking.Wait(statements.RunAsync(LineSql.Bury, blocks: true, CancellationToken.None, new NpgsqlParameter<string> { TypedValue = store }).AsTask());
            _unseenSince.Remove(store);
            log.Buried(Shown.Name(store));
        }
    }

    private List<string> Unled()
    {
        var stores = Blocking.Wait(statements.ReadAsync(
            LineSql.Stores, static row => row.GetString(0), blocks: true, CancellationToken.None, new NpgsqlParameter<string> { TypedValue = Volatile }).AsTask());
        if (stores.Count == 0) return [];

        var led = Blocking.Wait(statements.ReadAsync(LineSql.Leading, static row => (int)row.GetInt64(0), blocks: true, CancellationToken.None).AsTask());
        return stores.FindAll(store => !led.Contains(LineSweep.NumberOf(store)));
    }
}

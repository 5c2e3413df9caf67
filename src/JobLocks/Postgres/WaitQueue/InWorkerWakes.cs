using System.Globalization;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Signals wakes to runs that stay in their workers: directly in this process, and by notifications in other processes. Thread-safe.
/// </summary>
internal sealed class InWorkerWakes(PooledStatements statements, WakeRequests requests)
{
    /// <summary>The runs that wait in workers of this process.</summary>
    public RunsInWorkers Local { get; } = new(key => requests.Add([new(key)]));

    /// <summary>Signals that runs were woken.</summary>
    public ValueTask SignalWokenAsync(IEnumerable<WaitingRun> woken, bool blocks) =>
        NotifyAsync(woken.Where(run => !run.IsParked && !Local.Wake(run.Number)).Select(static run => (run.Number, run.Address.Store)), blocks);

    /// <summary>Signals that the entries of runs have changed: the runs read them.</summary>
    public ValueTask SignalChangedAsync(IEnumerable<(long Entry, string Store, bool IsParked)> changed, bool blocks) =>
        NotifyAsync(changed.Where(run => !run.IsParked && !Local.ReadAgain(run.Entry)).Select(static run => (run.Entry, run.Store)), blocks);

    /// <summary>
    /// The payload contains a negative entry number: a process of an earlier version finds no such entry, and any other process does not look for one.
    /// </summary>
    private ValueTask NotifyAsync(IEnumerable<(long Entry, string Store)> elsewhere, bool blocks)
    {
        var payloads = elsewhere.Select(static run => string.Create(CultureInfo.InvariantCulture, $"{-run.Entry} {run.Store}")).Where(Notifications.IsShortEnough).ToArray();
        return payloads.Length == 0 ? default : statements.RunAsync(WakeSql.Notify, blocks, CancellationToken.None, new NpgsqlParameter<string[]> { TypedValue = payloads });
    }
}

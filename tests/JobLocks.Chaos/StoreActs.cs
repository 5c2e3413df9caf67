using Npgsql;

namespace JobLocks.Chaos;

/// <summary>Clears a store, dumps it and puts the dump in its place, as an operator does.</summary>
internal sealed class StoreActs(History history, Offers offers)
{
    private const int MostTries = 10;

    private bool _isDumpOfHangfire;

    public bool HasDump { get; private set; }

    public async Task ClearAsync(bool hangfire, CancellationToken stop)
    {
        history.Add(Act.Clear, NameOf(hangfire));
        if (hangfire) await TryAgainAsync(() => history.RunAsync(ForEachTable(hangfire, "EXECUTE format('TRUNCATE %1$I.%2$I CASCADE', s, t);"), stop));
        else await TryAgainAsync(() => offers.ClearQuartzAsync(stop));
        history.Add(Act.Stored, NameOf(hangfire));
    }

    public async Task DumpAsync(bool hangfire, CancellationToken stop)
    {
        history.Add(Act.Dump, NameOf(hangfire));
        await history.RunAsync("DROP SCHEMA IF EXISTS chaos_dump CASCADE; CREATE SCHEMA chaos_dump", stop);
        // In one snapshot, as pg_dump does it.
        await history.RunAsync(ForEachTable(hangfire, "EXECUTE format('CREATE TABLE chaos_dump.%2$I AS TABLE %1$I.%2$I', s, t);"), stop, inOneSnapshot: true);
        history.Add(Act.Stored, NameOf(hangfire));
        (HasDump, _isDumpOfHangfire) = (true, hangfire);
    }

    /// <summary>While no server runs. References are not checked, as pg_restore does it.</summary>
    public async Task RestoreAsync(CancellationToken stop)
    {
        var hangfire = _isDumpOfHangfire;
        history.Add(Act.Restore, NameOf(hangfire));
        await history.RunAsync("SET LOCAL session_replication_role = replica; " + ForEachTable(hangfire, "EXECUTE format('DELETE FROM %1$I.%2$I', s, t); EXECUTE format('INSERT INTO %1$I.%2$I SELECT * FROM chaos_dump.%2$I', s, t);"), stop, inOneSnapshot: true);
        history.Add(Act.Stored, NameOf(hangfire));
        HasDump = false;
    }

    private static string NameOf(bool hangfire) => hangfire ? StoreLoss.Hangfire : StoreLoss.Quartz;

    private static string ForEachTable(bool hangfire, string act) =>
        $"DO $$ DECLARE s text := '{Server.MainApplication}_{(hangfire ? "hangfire" : "quartz")}'; t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = s AND tablename <> 'schema' LOOP {act} END LOOP; END $$";

    /// <summary>The servers go on, and the server may choose the act as the victim of a deadlock.</summary>
    private static async Task TryAgainAsync(Func<Task> act)
    {
        for (var tried = 1; ; tried++)
        {
            try
            {
                await act();
                return;
            }
            catch (Exception deadlock) when (tried < MostTries && deadlock.GetBaseException() is PostgresException { SqlState: PostgresErrorCodes.DeadlockDetected })
            {
                // Once more.
            }
        }
    }
}

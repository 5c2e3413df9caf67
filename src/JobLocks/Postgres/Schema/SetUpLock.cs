using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Keys;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>
/// The advisory lock of the set-up, acquired in the transaction of the script. If a program that sets up nothing holds it, the next number is used instead.
/// All processes choose the number by the same rule, and the script can be run by several at once. Used by one thread.
/// </summary>
internal sealed class SetUpLock(NpgsqlConnection connection, OpeningWatch watch, string schema, ILogger log)
{
    // Equal to the time for which the script waits for a table lock.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(60);

    // A set-up takes milliseconds, or waits for a table. After this time, an idle holder is not a set-up.
    private static readonly TimeSpan SkippedAfter = TimeSpan.FromSeconds(10);

    private readonly Dictionary<(int Backend, int Number), TimeSpan> _idleSince = [];
    private readonly HashSet<(int Backend, int Number)> _skipped = [];
    private bool _hasReadHolders;

    /// <summary>Waits until the lock is acquired.</summary>
    /// <exception cref="TimeoutException">Another set-up holds the lock for too long.</exception>
    public void Acquire()
    {
        var startedAt = BootClock.Now;
        while (!TryAcquire(FirstFreeNumber()))
        {
            var holders = ReadHolders();
            NoteIdleHolders(holders, startedAt);
            if (BootClock.Now - startedAt > LongestWait) throw TimedOut(holders);

            watch.Restart(SkippedAfter);
        }

        watch.Restart(LongestWait);
    }

    private int FirstFreeNumber()
    {
        var number = 0;
        while (_skipped.Any(holder => holder.Number == number)) number++;
        return number;
    }

    private bool TryAcquire(int number)
    {
        Run("SAVEPOINT joblocks_turn");
        try
        {
            Run("SET LOCAL lock_timeout = '1s'");
            using var acquire = new NpgsqlCommand(SchemaSql.AcquireSetUpLock, connection) { Parameters = { new NpgsqlParameter<int> { TypedValue = number } } };
            acquire.ExecuteNonQuery();
            Run("SET LOCAL lock_timeout = '60s'");
            return true;
        }
        catch (PostgresException busy) when (SessionConnection.IsLocked(busy))
        {
            Run("ROLLBACK TO SAVEPOINT joblocks_turn");
            return false;
        }
    }

    private void NoteIdleHolders(List<Holder> holders, TimeSpan startedAt)
    {
        foreach (var former in _idleSince.Keys.Except(holders.Where(static holder => holder.IsIdle).Select(static holder => holder.Id)).ToList())
        {
            _idleSince.Remove(former);
            _skipped.Remove(former);
        }

        foreach (var holder in holders.Where(static holder => holder.IsIdle))
        {
            // A holder of the first check counts as idle since the wait began.
            _idleSince.TryAdd(holder.Id, _hasReadHolders ? BootClock.Now : startedAt);
            if (BootClock.Now - _idleSince[holder.Id] >= SkippedAfter && _skipped.Add(holder.Id)) log.SetUpIsBlocked(schema, holder.Description.ToString());
        }

        _hasReadHolders = true;
    }

    private List<Holder> ReadHolders()
    {
        using var command = new NpgsqlCommand(SchemaSql.SetUpLockHolders, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = schema } } };
        using var reader = command.ExecuteReader();
        var holders = new List<Holder>();
        while (reader.Read())
        {
            var holder = new InternalLockHolder
            {
                Class = InternalKeys.SchemaSetUp,
                Number = reader.GetInt32(0),
                Count = 1,
                IsShared = reader.GetBoolean(1),
                Backend = reader.GetInt32(2),
                Role = reader.GetValue(3) as string,
                Application = reader.GetValue(4) as string,
                Address = reader.GetValue(5) as string,
            };
            holders.Add(new(holder, reader.GetBoolean(6)));
        }

        return holders;
    }

    private TimeoutException TimedOut(List<Holder> holders) => new(
        $"the set-up of the schema {schema} has waited for {LongestWait.TotalSeconds.ToString("0", CultureInfo.InvariantCulture)} s for another one. "
        + (holders is [var first, ..] ? first.Description.ToString() : "Its holder is not known"));

    private void Run(string statement)
    {
        using var command = new NpgsqlCommand(statement, connection);
        command.ExecuteNonQuery();
    }

    /// <summary>A holder of the lock, and whether it neither waits for a table of the schema nor locks one exclusively.</summary>
    private sealed record Holder(InternalLockHolder Description, bool IsIdle)
    {
        public (int Backend, int Number) Id => (Description.Backend, Description.Number);
    }
}

using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Keys;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>
/// Takes the advisory lock of the set-up, in the transaction of the script. Where a program that sets up nothing holds it, the next number is used: all processes
/// count alike, and the script may be run by several at once.
/// </summary>
internal sealed class SetUpTurn(NpgsqlConnection connection, OpeningWatch watch, string schema, ILogger log)
{
    // As long as the script itself waits for a lock of a table.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(60);

    // A set-up takes milliseconds, or waits for a table.
    private static readonly TimeSpan ProvenAfter = TimeSpan.FromSeconds(10);

    private readonly Dictionary<(int Backend, int Number), TimeSpan> _idleSince = [];
    private readonly HashSet<(int Backend, int Number)> _proven = [];
    private bool _hasLooked;

    /// <summary>Waits for it.</summary>
    /// <exception cref="TimeoutException">Another holds it for too long.</exception>
    public void Take()
    {
        var begun = BootClock.Now;
        while (!TryTake(FirstFreeNumber()))
        {
            var holders = ReadHolders();
            Judge(holders, begun);
            if (BootClock.Now - begun > LongestWait) throw TookTooLong(holders);

            watch.GoOn(ProvenAfter);
        }

        watch.GoOn(LongestWait);
    }

    private int FirstFreeNumber()
    {
        var number = 0;
        while (_proven.Any(one => one.Number == number)) number++;
        return number;
    }

    private bool TryTake(int number)
    {
        Run("SAVEPOINT joblocks_turn");
        try
        {
            Run("SET LOCAL lock_timeout = '1s'");
            using var take = new NpgsqlCommand(SchemaSql.TakeTurn, connection) { Parameters = { new NpgsqlParameter<int> { TypedValue = number } } };
            take.ExecuteNonQuery();
            Run("SET LOCAL lock_timeout = '60s'");
            return true;
        }
        catch (PostgresException busy) when (SessionConnection.IsLocked(busy))
        {
            Run("ROLLBACK TO SAVEPOINT joblocks_turn");
            return false;
        }
    }

    private void Judge(List<Holder> holders, TimeSpan begun)
    {
        foreach (var gone in _idleSince.Keys.Except(holders.Where(static one => one.IsIdle).Select(static one => one.Id)).ToList())
        {
            _idleSince.Remove(gone);
            _proven.Remove(gone);
        }

        foreach (var holder in holders.Where(static one => one.IsIdle))
        {
            // At the first look, it has been waited for since the beginning.
            _idleSince.TryAdd(holder.Id, _hasLooked ? BootClock.Now : begun);
            if (BootClock.Now - _idleSince[holder.Id] >= ProvenAfter && _proven.Add(holder.Id)) log.SetUpIsBlocked(schema, holder.Named.ToString());
        }

        _hasLooked = true;
    }

    private List<Holder> ReadHolders()
    {
        using var command = new NpgsqlCommand(SchemaSql.TurnHolders, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = schema } } };
        using var reader = command.ExecuteReader();
        var holders = new List<Holder>();
        while (reader.Read())
        {
            var holder = new InternalLockHolder
            {
                Class = InternalKeys.SetsUp,
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

    private TimeoutException TookTooLong(List<Holder> holders) => new(
        $"the set-up of the schema {schema} has waited for {LongestWait.TotalSeconds.ToString("0", CultureInfo.InvariantCulture)} s for another one. "
        + (holders is [var first, ..] ? first.Named.ToString() : "Its holder is not known"));

    private void Run(string statement)
    {
        using var command = new NpgsqlCommand(statement, connection);
        command.ExecuteNonQuery();
    }

    /// <summary>Who holds it, and whether it neither waits for a lock nor has a table of the schema.</summary>
    private sealed record Holder(InternalLockHolder Named, bool IsIdle)
    {
        public (int Backend, int Number) Id => (Named.Backend, Named.Number);
    }
}

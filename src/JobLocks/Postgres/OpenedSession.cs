using System.Data;
using System.Text.Json;
using JobLocks.Inspection;
using JobLocks.Line;
using Npgsql;
using NpgsqlTypes;

namespace JobLocks.Postgres;

/// <summary>An open connection that was found fit to hold locks, with its statements. Used by the session's thread alone.</summary>
internal sealed class OpenedSession : IDisposable
{
    private SessionFacts _facts;
    private LockStatement _plain;
    private LockStatement? _withSlots;
    private uint _fence;

    public OpenedSession(NpgsqlConnection connection, SessionFacts facts)
    {
        _facts = facts;
        _fence = facts.Fence;
        Connection = connection;
        _plain = new(connection, facts, takesSlots: false);
        ProvedAt = BootClock.Now;
        _plain.Run([]);
    }

    public string Server => _facts.Server;

    public NpgsqlConnection Connection { get; }

    /// <summary>The server's process behind it.</summary>
    public int Backend => _facts.Backend;

    /// <summary>How many locks this process may have: its share of the server's lock table.</summary>
    public long Budget => _facts.Budget;

    /// <summary>Whether runs may stand in the line.</summary>
    public bool HasLine => _facts.HasLine;

    /// <summary>Whether it can be written down who holds what.</summary>
    public bool HasLedger => _facts.HasLedger;

    /// <summary>When the last statement was sent that was answered: when it was opened, or by a question.</summary>
    public TimeSpan ProvedAt { get; private set; }

    /// <summary>False after an error that ended the connection.</summary>
    public bool StillStands => Connection.FullState.HasFlag(ConnectionState.Open) && !Connection.FullState.HasFlag(ConnectionState.Broken);

    /// <summary>Does the orders in one round trip, and draws the token of what it grants.</summary>
    /// <returns>The fencing token, 0 where there is none; and the keys in whose lines somebody stands whose turn comes now.</returns>
    public (long Token, IReadOnlyList<FreeKey> Lines) Run(IReadOnlyList<LockOp> orders)
    {
        StrikeOut(orders);
        var draw = _fence > 0 && orders.Any(static order => order.IsTake) ? new LockOp(LockVerb.Draw, new(_fence)) : null;
        var lines = StatementFor(orders).Run(draw is null ? orders : [.. orders, draw]);
        return (draw?.Result ?? 0, lines);
    }

    /// <summary>
    /// What is written down of a lock goes before the lock does: nobody is shown as a holder who has let go. Costs nothing for locks that were
    /// held for a moment only, for they are not written down.
    /// </summary>
    public void StrikeOut(IReadOnlyList<LockOp> releases)
    {
        List<long>? gone = null;
        foreach (var release in releases)
        {
            if (release.Handle is { Written: > 0 } handle) (gone ??= []).Add(handle.Written);
        }

        if (gone is null || !HasLedger) return;

        try
        {
            Ask<object>(LineSql.For(_facts.Options, LedgerSql.StrikeOut), new { backend = Backend, gone });
        }
        catch (PostgresException) when (StillStands)
        {
            // A full server, or no longer ours to write to. The next look at what is held strikes it out.
        }
    }

    /// <summary>
    /// Asks something of another kind, which may write: behind the guard where there is one. The statement has one parameter and one column,
    /// both in JSON, since the guard does not know what is asked.
    /// </summary>
    /// <exception cref="NpgsqlException">The server answered with an error, or the connection broke.</exception>
    public List<T?> Ask<T>(string sql, object given)
    {
        using var command = new NpgsqlCommand(_facts.IsGuarded ? GuardSql.Ask : sql, Connection)
        {
            Parameters = { new NpgsqlParameter<string> { TypedValue = JsonSerializer.Serialize(given), NpgsqlDbType = NpgsqlDbType.Jsonb } },
        };
        if (_facts.IsGuarded) command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = sql });
        return Prove(_ =>
        {
            using var reader = command.ExecuteReader();
            var answers = new List<T?>();
            while (reader.Read()) answers.Add(reader.IsDBNull(0) ? default : JsonSerializer.Deserialize<T>(reader.GetString(0)));
            return answers;
        });
    }

    /// <summary>Asks the server, whose answer proves that the session stands. So does an error that leaves the connection open.</summary>
    /// <exception cref="NpgsqlException">The server answered with an error, or the connection broke.</exception>
    public T Prove<T>(Func<NpgsqlConnection, T> ask)
    {
        var sentAt = BootClock.Now;
        try
        {
            var answer = ask(Connection);
            ProvedAt = sentAt;
            return answer;
        }
        catch (PostgresException) when (StillStands)
        {
            ProvedAt = sentAt;
            throw;
        }
    }

    /// <summary>Goes on without fencing tokens and without the line: they are no longer there, or no longer ours to use.</summary>
    public void ForgetSchema()
    {
        _fence = 0;
        if (!_facts.HasLine) return;

        _facts = _facts with { HasLine = false };
        if (_facts.IsGuarded) GuardSql.Create(Connection, _facts.Options, hasLine: false);
        _plain.Dispose();
        _withSlots?.Dispose();
        _plain = new(Connection, _facts, takesSlots: false);
        _withSlots = null;
    }

    public void Dispose()
    {
        _plain.Dispose();
        _withSlots?.Dispose();
        Connection.Dispose();
    }

    private LockStatement StatementFor(IReadOnlyList<LockOp> orders)
    {
        foreach (var order in orders)
        {
            if (order.Verb == LockVerb.TakeSlot) return _withSlots ??= new(Connection, _facts, takesSlots: true);
        }

        return _plain;
    }
}

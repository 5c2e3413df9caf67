using Npgsql;

namespace JobLocks.Postgres;

/// <summary>A prepared statement that does many operations in one round trip. Used by the session's thread alone.</summary>
internal sealed class LockStatement : IDisposable
{
    private const int TableIsFull = -1;

    private readonly int _backend;
    private readonly NpgsqlCommand _command;
    private readonly NpgsqlParameter<short[]> _verbs = new() { TypedValue = [] };
    private readonly NpgsqlParameter<long[]> _keys = new() { TypedValue = [] };
    private readonly NpgsqlParameter<long[]> _slots = new() { TypedValue = [] };
    private readonly NpgsqlParameter<int[]> _slotsFrom = new() { TypedValue = [] };
    private readonly NpgsqlParameter<int[]> _slotsCount = new() { TypedValue = [] };
    private readonly bool _takesSlots;

    /// <param name="connection">Open, and used by nobody else meanwhile.</param>
    /// <param name="backend">Who must answer.</param>
    /// <param name="isGuarded">Whether the session has the functions that catch a full lock table.</param>
    /// <param name="takesSlots">Whether it knows <see cref="LockVerb.TakeSlot"/>, which is rare and makes it longer.</param>
    public LockStatement(NpgsqlConnection connection, int backend, bool isGuarded, bool takesSlots)
    {
        _backend = backend;
        _takesSlots = takesSlots;
        _command = new(Sql(isGuarded, takesSlots), connection)
        {
            Parameters = { _verbs, _keys },
        };

        if (takesSlots) _command.Parameters.AddRange(new[] { _slots, (NpgsqlParameter)_slotsFrom, _slotsCount });
        _command.Prepare();
    }

    /// <summary>Does the operations in their order and writes the answers into them.</summary>
    /// <exception cref="NpgsqlException">The server answered with an error, and nobody knows how far it came; or the connection broke.</exception>
    /// <exception cref="FullLockTableException">The lock table is full, and nobody knows how far it came.</exception>
    /// <exception cref="WrongServerException">Another backend answered.</exception>
    public void Run(IReadOnlyList<LockOp> ops)
    {
        var verbs = new short[ops.Count];
        var keys = new long[ops.Count];
        for (var i = 0; i < verbs.Length; i++)
        {
            verbs[i] = (short)ops[i].Verb;
            keys[i] = ops[i].Key.Value;
        }

        _verbs.TypedValue = verbs;
        _keys.TypedValue = keys;
        if (_takesSlots) SetSlots(ops);

        using var reader = _command.ExecuteReader();
        foreach (var op in ops)
        {
            reader.Read();
            op.Result = reader.IsDBNull(0) ? 0 : reader.GetInt64(0);
            var answering = reader.GetInt32(1);
            if (op.Result == TableIsFull) throw new FullLockTableException();
            if (answering != _backend) throw WrongServerException.PoolerChangedBackend(_backend, answering);
        }
    }

    public void Dispose() => _command.Dispose();

    private static string Sql(bool isGuarded, bool takesSlots) => (isGuarded, takesSlots) switch
    {
        (true, true) => LockSql.GuardedBatchWithSlots,
        (true, false) => LockSql.GuardedBatch,
        (false, true) => LockSql.BatchWithSlots,
        _ => LockSql.Batch,
    };

    private void SetSlots(IReadOnlyList<LockOp> ops)
    {
        var next = 0;
        _slots.TypedValue = [.. ops.SelectMany(static op => op.Slots).Select(static key => key.Value)];
        _slotsCount.TypedValue = [.. ops.Select(static op => op.Slots.Count)];
        _slotsFrom.TypedValue = [.. _slotsCount.TypedValue.Select(count => (next += count) - count)];
    }
}

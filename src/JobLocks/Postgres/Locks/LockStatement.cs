using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Postgres.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.Locks;

/// <summary>A prepared statement that runs many operations in one round trip. Not thread-safe: used by one thread at a time.</summary>
internal sealed class LockStatement : IDisposable
{
    private const int TableIsFull = -1;

    private readonly int _backend;
    private readonly NpgsqlCommand _command;
    private readonly NpgsqlCommand? _queueCommand;
    private readonly NpgsqlParameter<short[]> _codes = new() { TypedValue = [] };
    private readonly NpgsqlParameter<long[]> _keys = new() { TypedValue = [] };
    private readonly NpgsqlParameter<long[]> _queueArguments = new() { TypedValue = [] };
    private readonly NpgsqlParameter<long[]> _slots = new() { TypedValue = [] };
    private readonly NpgsqlParameter<int[]> _slotsFrom = new() { TypedValue = [] };
    private readonly NpgsqlParameter<int[]> _slotsCount = new() { TypedValue = [] };
    private readonly bool _supportsSlots;

    /// <param name="connection">An open connection that no other thread uses meanwhile.</param>
    /// <param name="facts">The expected backend, and the abilities of the session.</param>
    /// <param name="supportsSlots">Whether the statement supports <see cref="OperationCode.AcquireSlot"/>, which is rare and makes it longer.</param>
    public LockStatement(NpgsqlConnection connection, SessionFacts facts, bool supportsSlots)
    {
        _backend = facts.Backend;
        _supportsSlots = supportsSlots;
        _command = new(Sql(facts, supportsSlots), connection)
        {
            Parameters = { _codes, _keys, _queueArguments },
        };

        if (supportsSlots) _command.Parameters.AddRange(new[] { _slots, (NpgsqlParameter)_slotsFrom, _slotsCount });
        _command.Prepare();
        // The function of the guard runs this query itself.
        if (facts is { HasWaitQueue: true, IsGuarded: false })
            _queueCommand = new(WaitQueueSql.For(facts.Options, LockSql.QueuesOfReleased), connection) { Parameters = { _codes.Clone(), _keys.Clone(), _queueArguments.Clone() } };
    }

    /// <summary>Runs the operations in order and stores each answer in its operation.</summary>
    /// <returns>The keys for which at least one wait queue entry can run now.</returns>
    /// <exception cref="NpgsqlException">
    /// The server answered with an error, and it is unknown which operations had an effect; or the connection broke.
    /// </exception>
    /// <exception cref="FullLockTableException">The lock table is full, and it is unknown which operations had an effect.</exception>
    /// <exception cref="UnusableServerException">Another backend answered.</exception>
    public IReadOnlyList<FreeKey> Run(IReadOnlyList<LockOperation> ops)
    {
        var codes = new short[ops.Count];
        var keys = new long[ops.Count];
        var queueArguments = new long[ops.Count];
        for (var i = 0; i < codes.Length; i++)
        {
            codes[i] = (short)ops[i].Code;
            keys[i] = ops[i].Key.Value;
            queueArguments[i] = ops[i].QueueArgument;
        }

        _codes.TypedValue = codes;
        _keys.TypedValue = keys;
        _queueArguments.TypedValue = queueArguments;
        if (_supportsSlots) SetSlots(ops);

        using (var reader = _command.ExecuteReader())
        {
            foreach (var op in ops)
            {
                reader.Read();
                op.Result = reader.IsDBNull(0) ? 0 : reader.GetInt64(0);
                var answeringBackend = reader.GetInt32(1);
                if (op.Result == TableIsFull) throw new FullLockTableException();
                if (answeringBackend != _backend) throw UnusableServerException.PoolerChangedBackend(_backend, answeringBackend);
            }

            if (_queueCommand is null) return ReadFreeKeys(reader);
        }

        return ops.Any(static op => op.IsRelease) ? QueryFreeKeys() : [];
    }

    public void Dispose()
    {
        _command.Dispose();
        _queueCommand?.Dispose();
    }

    private static List<FreeKey> ReadFreeKeys(NpgsqlDataReader reader)
    {
        if (!reader.Read()) return [];

        var freeKeys = new List<FreeKey>();
        do freeKeys.Add(new(new(reader.GetInt64(0)), reader.GetInt32(1)));
        while (reader.Read());
        return freeKeys;
    }

    private List<FreeKey> QueryFreeKeys()
    {
        for (var i = 0; i < _queueCommand!.Parameters.Count; i++) _queueCommand.Parameters[i].Value = _command.Parameters[i].Value;
        using var reader = _queueCommand.ExecuteReader();
        return ReadFreeKeys(reader);
    }

    private static string Sql(SessionFacts facts, bool supportsSlots)
    {
        var sql = facts switch
        {
            { IsGuarded: true, HasWaitQueue: true } => supportsSlots ? GuardSql.BatchWithQueueAndSlots : GuardSql.BatchWithQueue,
            { IsGuarded: true } => supportsSlots ? GuardSql.BatchWithSlots : GuardSql.Batch,
            { HasWaitQueue: true } => WaitQueueSql.For(facts.Options, supportsSlots ? LockSql.BatchWithQueueAndSlots : LockSql.BatchWithQueue),
            _ => supportsSlots ? LockSql.BatchWithSlots : LockSql.Batch,
        };
        return LockSql.For(facts.Options, sql);
    }

    private void SetSlots(IReadOnlyList<LockOperation> ops)
    {
        var next = 0;
        _slots.TypedValue = [.. ops.SelectMany(static op => op.Slots).Select(static key => key.Value)];
        _slotsCount.TypedValue = [.. ops.Select(static op => op.Slots.Count)];
        _slotsFrom.TypedValue = [.. _slotsCount.TypedValue.Select(count => (next += count) - count)];
    }
}

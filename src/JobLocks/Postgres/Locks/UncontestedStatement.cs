using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// A prepared <see cref="UncontestedSql"/>. If runs wait for one of the locks, the general statement acquires the lock in a second round trip. To avoid it, this
/// statement is then not used for one second. Not thread-safe: used by one thread at a time.
/// </summary>
internal sealed class UncontestedStatement : IDisposable
{
    private const int TableIsFull = -1;
    private const int RunsWait = -2;
    private const int OthersWereNotified = -3;
    private const int WasNotHeld = -4;
    private const int OtherBackend = -10;

    private static readonly TimeSpan PauseAfterWaiters = TimeSpan.FromSeconds(1);

    private readonly int _backend;
    private readonly NpgsqlCommand _command;
    private readonly NpgsqlParameter<bool> _releases = new() { TypedValue = false };
    private readonly NpgsqlParameter<long> _released = new() { TypedValue = 0 };
    private readonly NpgsqlParameter<long> _queueKey = new() { TypedValue = 0 };
    private readonly NpgsqlParameter<long> _acquired = new() { TypedValue = 0 };
    private readonly NpgsqlParameter<long> _fence = new() { TypedValue = 0 };
    private TimeSpan _pausedUntil;

    /// <param name="connection">An open connection that no other thread uses meanwhile, with the functions of <see cref="GuardSql"/>.</param>
    /// <param name="facts">The expected backend, and the abilities of the session.</param>
    public UncontestedStatement(NpgsqlConnection connection, SessionFacts facts)
    {
        _backend = facts.Backend;
        _command = new(facts.HasWaitQueue ? UncontestedSql.CallWithQueue : UncontestedSql.Call, connection)
        {
            Parameters = { _releases, _released, _queueKey, _acquired, _fence, new NpgsqlParameter<int> { TypedValue = facts.Backend } },
        };
        _command.Prepare();
    }

    /// <summary>Whether this statement can run these operations, and is probably faster.</summary>
    public bool Fits(IReadOnlyList<LockOperation> operations) => operations switch
    {
        [{ Code: OperationCode.Acquire }] or [{ Code: OperationCode.Release }, { Code: OperationCode.Acquire }] => BootClock.Now >= _pausedUntil,
        _ => false,
    };

    /// <summary>Runs operations that <see cref="Fits"/>, and stores each answer in its operation.</summary>
    /// <param name="operations">An acquire operation, with or without a release operation before it.</param>
    /// <param name="fence">The OID of the sequence of the fencing tokens; 0 for none.</param>
    /// <returns>The fencing token, or 0 if there is none; and the operations that are left to the general statement.</returns>
    /// <exception cref="NpgsqlException">
    /// The server answered with an error, and it is unknown which operations had an effect; or the connection broke.
    /// </exception>
    /// <exception cref="FullLockTableException">The lock table is full, and it is unknown which operations had an effect.</exception>
    /// <exception cref="UnusableServerException">Another backend answered.</exception>
    public (long Token, IReadOnlyList<LockOperation> Left) Run(IReadOnlyList<LockOperation> operations, uint fence)
    {
        var acquire = operations[^1];
        var release = operations.Count > 1 ? operations[0] : null;
        _releases.TypedValue = release is not null;
        _released.TypedValue = release?.Key.Value ?? 0;
        _queueKey.TypedValue = release?.QueueArgument ?? acquire.Key.Value;
        _acquired.TypedValue = acquire.Key.Value;
        _fence.TypedValue = fence;
        var answer = (long)_command.ExecuteScalar()!;
        if (answer == TableIsFull) throw new FullLockTableException();
        if (answer <= OtherBackend) throw UnusableServerException.PoolerChangedBackend(_backend, (int)(OtherBackend - answer));

        release?.Result = answer switch { WasNotHeld => 0, OthersWereNotified => 2, _ => 1 };
        if (answer is not (RunsWait or OthersWereNotified or WasNotHeld))
        {
            acquire.Result = answer > 0 ? 1 : 0;
            return (fence > 0 ? answer : 0, []);
        }

        _pausedUntil = BootClock.Now + PauseAfterWaiters;
        return (0, release is null ? [acquire] : [new(OperationCode.Released, release.Key) { QueueArgument = release.QueueArgument }, acquire]);
    }

    public void Dispose() => _command.Dispose();
}

using JobLocks.Locks;
using Npgsql;

namespace JobLocks.Postgres.Locks;

/// <summary>A lock that lives in a transaction of the caller: PostgreSQL itself gives it back at its end.</summary>
internal sealed class TransactionLock : ILockOwner
{
    private static readonly TransactionLock Owner = new();

    public static async Task<JobLockHandle?> TryAcquireAsync(LockRequest request, NpgsqlTransaction transaction, CancellationToken stop)
    {
        ArgumentNullException.ThrowIfNull(transaction);

        using var command = CommandIn(transaction, request);
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = request.Key.Value });
        var granted = await command.ExecuteScalarAsync(stop).ConfigureAwait(false) is true;
        return granted ? new(new LockGrant(request, request.Key, new() { Run = "a transaction" }, TimeProvider.System.GetUtcNow(), Owner, token: 0)) : null;
    }

    private static NpgsqlCommand CommandIn(NpgsqlTransaction transaction, LockRequest request)
    {
        InvalidOperationException? cause = null;
        try
        {
            if (transaction.Connection is { } connection)
                return new(request.Mode == LockMode.Shared ? LockSql.TakeSharedInTransaction : LockSql.TakeInTransaction, connection, transaction);
        }
        catch (InvalidOperationException completed)
        {
            // Thrown by the driver for one that was committed, rolled back or disposed.
            cause = completed;
        }

        throw new ArgumentException($"The transaction is over, so the lock {request} cannot be taken in it.", nameof(transaction), cause);
    }

    void ILockOwner.Release(LockGrant grant)
    {
        // The transaction does, at its end.
    }

    void ILockOwner.Collected(LockGrant grant)
    {
        // The transaction releases it, whether its handle was disposed or not.
    }

    void ILockOwner.CheckClock()
    {
        // A transaction that has lost its connection fails by itself.
    }
}

using JobLocks.Locks;
using Npgsql;

namespace JobLocks.Postgres.Locks;

/// <summary>A lock in a transaction of the caller. PostgreSQL releases it at the end of the transaction.</summary>
internal sealed class TransactionLock(TransactionPlace place) : ILockOwner
{
    public async Task<JobLockHandle?> TryAcquireAsync(LockRequest request, NpgsqlTransaction transaction, CancellationToken stop)
    {
        ArgumentNullException.ThrowIfNull(transaction);

        using var command = CommandIn(transaction, request);
        await place.EnsureSameAsync(request, transaction, command.Connection!, stop).ConfigureAwait(false);
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = request.Key.Value });
        var granted = await command.ExecuteScalarAsync(stop).ConfigureAwait(false) is true;
        return granted ? new(new LockGrant(request, request.Key, new() { Run = "a transaction" }, TimeProvider.System.GetUtcNow(), this, token: 0)) : null;
    }

    private static NpgsqlCommand CommandIn(NpgsqlTransaction transaction, LockRequest request)
    {
        InvalidOperationException? cause = null;
        try
        {
            if (transaction.Connection is { } connection)
                return new(request.Mode == LockMode.Shared ? LockSql.AcquireSharedInTransaction : LockSql.AcquireInTransaction, connection, transaction);
        }
        catch (InvalidOperationException completed)
        {
            // The driver throws this if the transaction was committed, rolled back or disposed.
            cause = completed;
        }

        throw new ArgumentException($"The transaction is over, so the lock {request} cannot be acquired in it.", nameof(transaction), cause);
    }

    void ILockOwner.Release(LockGrant grant)
    {
        // The end of the transaction releases the lock.
    }

    void ILockOwner.OnHandleCollected(LockGrant grant)
    {
        // The transaction releases the lock, whether or not its handle was disposed.
    }

    void ILockOwner.CheckClock()
    {
        // A transaction fails by itself when it loses its connection.
    }
}

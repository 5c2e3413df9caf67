using System.Collections.Concurrent;
using JobLocks.Keys;
using JobLocks.Locks;
using Npgsql;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// Proves that a transaction of the caller uses the lock table of the lock session. In another database, or on another server, a lock would exclude no holder
/// of this process. Each pair of connection and session is proven once. While no session is open, the lock is acquired without proof. Thread-safe.
/// </summary>
internal sealed class TransactionPlace(LockDispatcher dispatcher)
{
    private const int MostProven = 1000;

    // The session can be about to be lost. The lock in the transaction does not depend on it, so it is then acquired without proof.
    private static readonly TimeSpan LongestAnswer = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<Proven, byte> _proven = [];

    /// <exception cref="ArgumentException">The transaction is in another database, or on another server.</exception>
    /// <exception cref="NpgsqlException">The connection of the transaction broke.</exception>
    public async Task EnsureSameAsync(LockRequest request, NpgsqlTransaction transaction, NpgsqlConnection connection, CancellationToken stop)
    {
        if (dispatcher.Sessions.Backend is not { } backend) return;

        var proven = new Proven(backend, connection.Host, connection.Port, connection.Database, connection.ProcessID);
        if (_proven.ContainsKey(proven)) return;

        var number = Random.Shared.Next();
        var holding = AskSessionAsync(TransactionPlaceSql.Hold, number);
        Task<bool> releasing;
        bool isElsewhere;
        try
        {
            if (!await IsTrueInTimeAsync(holding, stop).ConfigureAwait(false)) return;

            isElsewhere = await IsFreeInAsync(transaction, connection, number, stop).ConfigureAwait(false);
        }
        finally
        {
            // The session answers in order, so this also releases a lock that it grants late.
            releasing = AskSessionAsync(TransactionPlaceSql.Release, number);
        }

        if (!isElsewhere)
        {
            if (_proven.Count >= MostProven) _proven.Clear();
            _proven.TryAdd(proven, 0);
        }
        else if (await IsTrueInTimeAsync(releasing, stop).ConfigureAwait(false))
        {
            throw new ArgumentException(
                $"The lock {request} cannot be acquired in this transaction, because it would exclude no holder of these locks: the locks are in {dispatcher.Server}, and the transaction is in "
                + $"{connection.Host}:{connection.Port}, database {connection.Database}, which has locks of its own. Begin the transaction over the connection string of the locks, or give JobLocks that of the transaction.",
                nameof(transaction));
        }
    }

    /// <summary>Whether the lock is free to the transaction; it then holds the lock until its end.</summary>
    private static async Task<bool> IsFreeInAsync(NpgsqlTransaction transaction, NpgsqlConnection connection, int number, CancellationToken stop)
    {
        using var command = new NpgsqlCommand(TransactionPlaceSql.AcquireInTransaction, connection, transaction)
        {
            Parameters = { new NpgsqlParameter<int> { TypedValue = InternalKeys.Proof }, new NpgsqlParameter<int> { TypedValue = number } },
        };
        return await command.ExecuteScalarAsync(stop).ConfigureAwait(false) is true;
    }

    private static async Task<bool> IsTrueInTimeAsync(Task<bool> answer, CancellationToken stop)
    {
        try
        {
            return await answer.WaitAsync(LongestAnswer, stop).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return false;
        }
    }

    /// <summary>False also if the session was lost: then nothing is proven, and the next call tries again.</summary>
    private async Task<bool> AskSessionAsync(string sql, int number)
    {
        try
        {
            return await dispatcher.QueryAsync(session => session.Query<bool>(sql, new[] { InternalKeys.Proof, number })).ConfigureAwait(false) is [true];
        }
        catch (Exception unavailable) when (unavailable is JobLocksUnavailableException or ObjectDisposedException)
        {
            return false;
        }
    }

    /// <param name="SessionBackend">The process ID of the backend of the lock session.</param>
    /// <param name="Host">The host of the connection of the transaction.</param>
    /// <param name="Port">Its port.</param>
    /// <param name="Database">Its database.</param>
    /// <param name="ProcessId">The process ID of its backend, or of the pooler's client.</param>
    private readonly record struct Proven(int SessionBackend, string? Host, int Port, string? Database, int ProcessId);
}

using JobLocks.Locks;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Sets up each new connection. A pooler may lend the backend to other clients, which would inherit the settings, so a connection through a pooler is set up only
/// after <see cref="PoolerProbe"/> has found that the pooler reserves the backend. Thread-safe.
/// </summary>
/// <param name="open">Opens another connection with a connection string, and does not set it up.</param>
internal sealed class ConnectionStart(Func<string, NpgsqlConnection> open)
{
    private volatile bool _isPoolerFit;

    /// <summary>A new session opens: the mode of the pooler can have changed.</summary>
    public void ForgetPooler() => _isPoolerFit = false;

    /// <summary>Sets up a connection that has run no statement yet.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="more">Further settings, such as <see cref="ConnectionSetUp.ForPool"/>.</param>
    /// <param name="watch">Limits the silence of the server; null for no limit.</param>
    /// <param name="blocks">Whether to run synchronously. The first connection through a pooler is always checked synchronously.</param>
    /// <param name="stop">Cancels the set-up.</param>
    /// <exception cref="UnusableServerException">The pooler lends the backend to other clients. The connection is unchanged.</exception>
    /// <exception cref="NpgsqlException">A connection broke, or could not be opened.</exception>
    public async ValueTask RunAsync(NpgsqlConnection connection, string more, OpeningWatch? watch, bool blocks, CancellationToken stop)
    {
        if (await ConnectionSetUp.TryRunAsync(connection, more, _isPoolerFit, blocks, stop).ConfigureAwait(false)) return;

        watch?.Restart();
        CheckPooler(connection, watch);
        _isPoolerFit = true;
        await ConnectionSetUp.TryRunAsync(connection, more, behindPooler: true, blocks, stop).ConfigureAwait(false);
    }

    private void CheckPooler(NpgsqlConnection connection, OpeningWatch? watch)
    {
        using var other = ConnectionLimit.OpenSecond(connection, () => open(connection.ConnectionString));
        watch?.Connected(other);
        PoolerProbe.Check(connection, other);
        watch?.Restart();
    }
}

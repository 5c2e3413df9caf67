using JobLocks.Keys;
using JobLocks.Locks;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Proves, before a session counts as open, that a lock of one connection is refused on another one, that pg_locks shows it, and that it is free after its
/// release: for each kind of lock that this library uses. Some engines have functions of these names that do nothing, and some proxies lead two connections
/// to two servers. A pass proves it for these two connections: a proxy can lead the next one to another server.
/// </summary>
internal sealed class ExclusionProof
{
    // Another process can use the same random number at the same moment. That this happens three times in succession is impossible in practice.
    private const int MostTries = 3;

    private readonly NpgsqlConnection _first;
    private readonly int _backend;
    private readonly NpgsqlConnection _second;
    private int _number;

    private ExclusionProof(NpgsqlConnection first, int backend, NpgsqlConnection second) => (_first, _backend, _second) = (first, backend, second);

    /// <summary>
    /// Opens a second connection, and takes four round trips. The second connection is closed at once: a session opens rarely, and a connection that is kept
    /// for later would count for the limits of the server. Leaves no lock, if the caller closes the first connection after an error.
    /// </summary>
    /// <param name="first">The connection that is to hold locks.</param>
    /// <param name="backend">The process ID of its backend.</param>
    /// <param name="connect">Opens another connection with the same settings to the same host.</param>
    /// <param name="watch">Limits the silence of the server.</param>
    /// <exception cref="UnusableServerException">The locks of this server do not exclude each other.</exception>
    /// <exception cref="NpgsqlException">A connection broke, or the server has no second one now. Nothing is proven.</exception>
    public static void Run(NpgsqlConnection first, int backend, Func<NpgsqlConnection> connect, OpeningWatch watch)
    {
        using var second = ConnectionLimit.OpenSecond(first, connect);
        watch.Restart();
        new ExclusionProof(first, backend, second).Run();
        watch.Restart();
    }

    private void Run()
    {
        Acquire();
        if (FaultOnSecond() is { } fault)
        {
            // If the first connection has ended meanwhile, the second one was rightly granted its locks. This statement then fails, and nothing is proven.
            Ask(_first, ExclusionSql.Release);
            throw fault;
        }

        if (Ask(_first, ExclusionSql.Release).Find(static answer => answer.IsWrong) is { } kept) throw Broken($"{kept.Name} does not release a lock of its connection");

        if (Ask(_second, ExclusionSql.AcquireReleased).Find(static answer => answer.IsWrong) is { } taken) throw Broken($"{taken.Name} answers true and does not release the lock");
    }

    private void Acquire()
    {
        for (var tries = 1; ; tries++)
        {
            // Even, so that the next number is free for the shared lock.
            _number = Random.Shared.Next(int.MaxValue / 2) * 2;
            if (Ask(_first, ExclusionSql.Acquire).Find(static answer => answer.IsWrong) is not { } wrong) return;

            Ask(_first, ExclusionSql.Release);
            if (string.Equals(wrong.Name, ExclusionSql.LockView, StringComparison.Ordinal)) throw Broken("its functions grant locks that pg_locks does not show as held by their connection");
            if (tries == MostTries) throw Broken($"{wrong.Name} refuses a lock that no connection holds");
        }
    }

    private UnusableServerException? FaultOnSecond()
    {
        var answers = Ask(_second, ExclusionSql.Contend);
        if (answers[0].IsWrong) return UnusableServerException.TwoServers();

        if (answers[0].Backend == _backend) return UnusableServerException.PoolerSharesBackend(_backend);

        return answers.Find(static answer => answer.IsWrong) is not { } wrong ? null
            : Broken($"{wrong.Name} {(wrong.MustGrant ? "refuses a lock that other connections only share" : "grants a lock that another connection holds")}");
    }

    private List<Answer> Ask(NpgsqlConnection connection, string sql)
    {
        using var command = new NpgsqlCommand(sql, connection);
        foreach (var key in new[] { _number, _number + 1 }) command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = ((long)InternalKeys.Proof << 32) | (uint)key });
        foreach (var number in new[] { InternalKeys.Proof, _number, _number + 1, _backend }) command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = number });
        using var reader = command.ExecuteReader();
        var answers = new List<Answer>();
        while (reader.Read()) answers.Add(new(reader.GetString(0), reader.GetBoolean(1), reader.GetValue(2) is true, reader.GetInt32(3)));
        if (connection == _first && answers.Find(answer => answer.Backend != _backend) is { } moved) throw UnusableServerException.PoolerChangedBackend(_backend, moved.Backend);
        return answers;
    }

    // The second connection is asked for the engine, because the first one can have ended.
    private UnusableServerException Broken(string fault) => UnusableServerException.DoesNotExclude(fault, EngineGap.EngineOf(_second));

    /// <param name="Name">The name of the function, or <see cref="ExclusionSql.LockView"/>.</param>
    /// <param name="MustGrant">Whether it must grant the lock.</param>
    /// <param name="IsGranted">Whether it did.</param>
    /// <param name="Backend">The backend that answered.</param>
    private sealed record Answer(string Name, bool MustGrant, bool IsGranted, int Backend)
    {
        public bool IsWrong => IsGranted != MustGrant;
    }
}

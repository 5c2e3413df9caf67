using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>What a server says about itself.</summary>
/// <param name="Backend">The process ID of the backend.</param>
/// <param name="Version">The version as a number, such as 150004.</param>
/// <param name="LockTableSize">The nominal number of entries of the lock table.</param>
internal sealed record ServerFacts(int Backend, int Version, long LockTableSize)
{
    private const int OldestVersion = 120_000;

    /// <summary>Reads the facts.</summary>
    /// <exception cref="UnusableServerException">The server is a standby, only reads, or is too old.</exception>
    public static ServerFacts Read(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(LockSql.ReadServerFacts, connection);
        using var reader = command.ExecuteReader();
        reader.Read();
        if (reader.GetBoolean(1)) throw UnusableServerException.Standby();
        if (reader.GetBoolean(4)) throw UnusableServerException.ReadOnly();

        var version = reader.GetInt32(2);
        return version < OldestVersion ? throw UnusableServerException.TooOld(version) : new(reader.GetInt32(0), version, reader.GetInt64(3));
    }
}

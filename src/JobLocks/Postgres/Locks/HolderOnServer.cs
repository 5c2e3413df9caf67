using JobLocks.Locks;
using Npgsql;

namespace JobLocks.Postgres.Locks;

/// <summary>Reads which session holds a lock.</summary>
internal static class HolderOnServer
{
    public static Holder? Read(NpgsqlConnection connection, LockRequest request)
    {
        using var command = new NpgsqlCommand(LockSql.Holder, connection)
        {
            Parameters = { new NpgsqlParameter<long[]> { TypedValue = [.. request.Slots.Select(static slot => slot.Value)] } },
        };
        using var reader = command.ExecuteReader();
        if (!reader.Read()) return null;

        return new()
        {
            Backend = reader.GetInt32(0),
            Application = reader.GetValue(1) as string,
            Address = reader.GetValue(2) as string,
            ConnectedSince = reader.GetValue(3) as DateTime?,
        };
    }
}

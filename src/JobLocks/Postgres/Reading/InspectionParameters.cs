using Npgsql;
using NpgsqlTypes;

namespace JobLocks.Postgres.Reading;

/// <summary>The typed parameters of the statements that inspection sends.</summary>
internal static class InspectionParameters
{
    public static NpgsqlParameter<int> Number(int value) => new NpgsqlParameter<int> { TypedValue = value };

    public static NpgsqlParameter<int[]> Numbers(int[] values) => new() { TypedValue = values };

    public static NpgsqlParameter<long> Key(LockKey key) => new NpgsqlParameter<long> { TypedValue = key.Value };

    public static NpgsqlParameter KeyOrNull(LockKey? key) => new() { NpgsqlDbType = NpgsqlDbType.Bigint, Value = key?.Value ?? (object)DBNull.Value };

    public static NpgsqlParameter<string> Text(string value) => new NpgsqlParameter<string> { TypedValue = value };

    public static NpgsqlParameter TextOrNull(string? value) => new() { NpgsqlDbType = NpgsqlDbType.Text, Value = value ?? (object)DBNull.Value };
}

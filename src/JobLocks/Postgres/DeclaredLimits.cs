using JobLocks.Diagnostics;
using JobLocks.Gate;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres;

/// <summary>
/// Writes down how many this process lets in under a name, once for each name, and warns where another process said another number.
/// Each process keeps to its own: never more than the larger of them run.
/// </summary>
internal sealed class DeclaredLimits(JobLocksOptions options, ILogger log)
{
    // Names may be made of arguments, without end.
    private const int MostNames = 1000;

    private readonly HashSet<LockKey> _known = [];

    /// <summary>Whether this name has not been looked up yet. Behind the door of the desk.</summary>
    public bool IsNew(LockWish wish) => options.Schema is not null && _known.Count < MostNames && _known.Add(wish.Key);

    /// <summary>Says our number and reads the one that was said before.</summary>
    public void Compare(NpgsqlConnection connection, LockWish wish)
    {
        using var command = new NpgsqlCommand(SchemaSql.For(options.Schema!, SchemaSql.SayLimit), connection)
        {
            Parameters =
            {
                new NpgsqlParameter<string> { TypedValue = wish.ToString() },
                new NpgsqlParameter<int> { TypedValue = wish.Limit },
                new NpgsqlParameter<string> { TypedValue = options.ApplicationName },
            },
        };
        using var reader = command.ExecuteReader();
        if (!reader.Read() || reader.IsDBNull(0)) return;

        var said = reader.GetInt32(0);
        if (said != wish.Limit) log.LimitsDiffer(wish.ToString(), wish.Limit, said, reader.GetString(1));
    }
}

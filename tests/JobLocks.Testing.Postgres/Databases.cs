using System.Collections.Concurrent;
using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>The databases created here, on a server that may have others.</summary>
internal sealed class Databases(string server)
{
    /// <summary>The template of databases without anything.</summary>
    public const string Empty = "template0";

    private const int LongestHint = 32;

    private readonly ConcurrentBag<string> _created = [];

    public async Task<Version> ServerVersionAsync(CancellationToken stop)
    {
        await using var connection = Connection();
        await connection.OpenAsync(stop);
        return connection.PostgreSqlVersion;
    }

    public async Task<string> CreateAsync(string? hint, string template, CancellationToken stop)
    {
        var name = NewName(hint);
        await ExecuteAsync($"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'", stop);
        _created.Add(name);
        return new NpgsqlConnectionStringBuilder(server) { Database = name }.ConnectionString;
    }

    public async Task DropAsync()
    {
        while (_created.TryTake(out var name))
            await ExecuteAsync($"DROP DATABASE IF EXISTS {name} WITH (FORCE)", CancellationToken.None);
    }

    /// <summary>Small letters, digits and underscores only, so that it needs no quotes in SQL; short enough for an identifier.</summary>
    private static string NewName(string? hint)
    {
        var readable = string.Concat((hint ?? "").Where(char.IsAsciiLetterOrDigit).Take(LongestHint).Select(char.ToLowerInvariant));
        var unique = Guid.NewGuid().ToString("N")[..16];
        return readable.Length == 0 ? $"joblocks_{unique}" : $"joblocks_{readable}_{unique}";
    }

    private async Task ExecuteAsync(string sql, CancellationToken stop)
    {
        await using var connection = Connection();
        await connection.OpenAsync(stop);
        await using var command = new NpgsqlCommand(sql, connection);

        // Not given up half-way, or a database could stay that nobody knows of.
        await command.ExecuteNonQueryAsync(CancellationToken.None);
    }

    /// <summary>Not pooled: an idle connection would go on counting against the limit of a server that others share.</summary>
    private NpgsqlConnection Connection() => new(new NpgsqlConnectionStringBuilder(server) { Pooling = false }.ConnectionString);
}

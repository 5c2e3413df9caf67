using System.Collections.Concurrent;
using System.Reflection;
using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>
/// The databases of a whole suite. Where the environment variable <c>JOBLOCKS_SHADOWS</c> is 1, a stranger has planted functions and operators in each that match the calls
/// in our statements more closely than the server's own, and the suite shows that none of them is called. Otherwise they are empty. Thread-safe.
/// </summary>
public sealed class ShadowedDatabases
{
    private readonly PostgresServer _server;
    private readonly string? _template;
    private readonly ConcurrentDictionary<string, bool> _shadowed = new(StringComparer.Ordinal);

    private ShadowedDatabases(PostgresServer server, string? template) => (_server, _template) = (server, template);

    private static bool AreWanted => Environment.GetEnvironmentVariable("JOBLOCKS_SHADOWS") is "1";

    /// <summary>Prepares them.</summary>
    /// <param name="server">Where they are.</param>
    /// <param name="ours">Whose statements are read.</param>
    public static async Task<ShadowedDatabases> OnAsync(PostgresServer server, params Assembly[] ours)
    {
        if (!AreWanted) return new(server, template: null);

        var template = await server.CreateDatabaseAsync("shadows");
        var shadows = await ShadowObjects.OfAsync(template, SqlWords.Of(ours.SelectMany(SqlWords.TextsOf)), onlyCloser: true, CancellationToken.None);
        await shadows.PlantAsync(template, CancellationToken.None);
        return new(server, new NpgsqlConnectionStringBuilder(template).Database);
    }

    /// <summary>What was called in one of them by connections that have an application name of their own, when all of these are closed.</summary>
    public Task<IReadOnlyList<string>> CallsAsync(string database) =>
        _shadowed.ContainsKey(database) ? ShadowObjects.CallsAsync(database, CancellationToken.None) : Task.FromResult<IReadOnlyList<string>>([]);

    /// <summary>Creates one.</summary>
    /// <param name="hint">Becomes part of its name.</param>
    /// <returns>Its connection string.</returns>
    public async Task<string> CreateAsync(string hint)
    {
        if (_template is null) return await _server.CreateDatabaseAsync(hint);

        var database = await _server.CopyDatabaseAsync(_template, hint);
        await ShadowObjects.CountCallsAsync(database, CancellationToken.None);
        _shadowed[database] = true;
        return database;
    }
}

using System.Globalization;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace ClientSync;

/// <summary>
/// Counts what was refused, for the table at the end. Neither scheduler announces a run that only waits, since nothing has happened to it yet: the log
/// of JobLocks does, for both.
/// </summary>
internal sealed class RefusalRecorder(NpgsqlDataSource database, ServerName server) : ILoggerProvider, ILogger
{
    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel == LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (state is not IReadOnlyList<KeyValuePair<string, object?>> entries || ValueOf(entries, "Reason") is not { } reason || ClientOf(ValueOf(entries, "LockName")) is not { } client) return;

        using var command = database.CreateCommand(Tables.Refuse);
        foreach (var value in new object[] { client, server.Name, reason }) command.Parameters.Add(new() { Value = value });
        command.ExecuteNonQuery();
    }

    public void Dispose()
    {
        // The container disposes the database.
    }

    private static string? ValueOf(IReadOnlyList<KeyValuePair<string, object?>> entries, string key) => entries.FirstOrDefault(entry => string.Equals(entry.Key, key, StringComparison.Ordinal)).Value as string;

    /// <summary>4 for <c>sync(4)</c>.</summary>
    private static int? ClientOf(string? lockName) =>
        lockName is ['s', 'y', 'n', 'c', '(', .. var client, ')'] && int.TryParse(client, CultureInfo.InvariantCulture, out var number) ? number : null;
}

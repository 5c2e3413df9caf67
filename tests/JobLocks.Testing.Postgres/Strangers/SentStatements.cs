using System.Collections.Concurrent;
using System.Diagnostics;

namespace JobLocks.Testing.Postgres;

/// <summary>The texts of all statements that this process sends to a database, as the driver reports them. Thread-safe.</summary>
public sealed class SentStatements : IDisposable
{
    private readonly ConcurrentQueue<Activity> _commands = new();
    private readonly ActivityListener _listener;
    private readonly string _database;

    /// <summary>Listens until it is disposed.</summary>
    /// <param name="database">The name of the database.</param>
    public SentStatements(string database)
    {
        _database = database;
        _listener = new()
        {
            ShouldListenTo = static source => source.Name is "Npgsql",
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            // The driver says the text after the start, and not always an end.
            ActivityStarted = _commands.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    /// <summary>What was sent until now.</summary>
    public IReadOnlyCollection<string> Texts => [.. _commands
        .Where(command => command.GetTagItem("db.namespace") is string at && at.Contains(_database, StringComparison.Ordinal))
        .Select(static command => command.GetTagItem("db.query.text"))
        .OfType<string>()
        .Distinct(StringComparer.Ordinal)];

    /// <inheritdoc/>
    public void Dispose() => _listener.Dispose();
}

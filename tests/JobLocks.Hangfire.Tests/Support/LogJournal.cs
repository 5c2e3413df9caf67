using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>What was logged, for a test to wait for. Thread-safe.</summary>
internal sealed class LogJournal : ILoggerFactory, ILogger
{
    private readonly Journal<LogLine> _journal = new();

    public IReadOnlyList<LogLine> Lines => _journal.Entries;

    /// <summary>Waits for a line that begins so.</summary>
    public Task<LogLine> NextAsync(string start, CancellationToken stop) =>
        _journal.NextAsync(line => line.Text.StartsWith(start, StringComparison.Ordinal), stop);

    ILogger ILoggerFactory.CreateLogger(string categoryName) => this;

    void ILoggerFactory.AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    IDisposable? ILogger.BeginScope<TState>(TState state) => null;

    bool ILogger.IsEnabled(LogLevel logLevel) => true;

    void ILogger.Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _journal.Add(new(logLevel, eventId.Id, formatter(state, exception)));

    public void Dispose()
    {
        // Lines stay readable.
    }

    internal sealed record LogLine(LogLevel Level, int Id, string Text);
}

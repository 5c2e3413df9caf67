using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace JobLocks.Quartz.Tests.Support;

/// <summary>What a node logs, level first, for a test to wait for. Thread-safe.</summary>
internal sealed class LogLines : ILoggerProvider, ILogger
{
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();
    private readonly List<string> _all = [];

    public IReadOnlyList<string> All
    {
        get
        {
            lock (_all) return [.. _all];
        }
    }

    /// <summary>Called with each line, before the code that logs it goes on.</summary>
    public Action<string> Logged { get; set; } = static _ => { };

    /// <summary>The next line with this text. Those before it are passed over.</summary>
    public async Task<string> NextAsync(string text)
    {
        while (true)
        {
            var line = await _lines.Reader.ReadAsync();
            if (line.Contains(text, StringComparison.Ordinal)) return line;
        }
    }

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        var line = $"{logLevel} {formatter(state, exception)}";
        lock (_all) _all.Add(line);
        Logged(line);
        _lines.Writer.TryWrite(line);
    }

    public void Dispose()
    {
        // Lines stay readable.
    }
}

using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace JobLocks.Tests.Support;

/// <summary>Keeps all that is logged, with the exceptions in full.</summary>
internal sealed class LogLines : ILoggerFactory, ILogger
{
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly ConcurrentQueue<(string Text, TaskCompletionSource Said)> _awaited = new();

    /// <summary>All of it.</summary>
    public string Text => string.Join('\n', _lines);

    /// <summary>Which lines throw when they are logged, after they were kept.</summary>
    public Predicate<string>? Fails { get; set; }

    /// <summary>Waits until something with this text is said, or has been.</summary>
    public Task WhenSaidAsync(string text, CancellationToken stop)
    {
        var said = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _awaited.Enqueue((text, said));
        if (Text.Contains(text, StringComparison.Ordinal)) said.TrySetResult();
        return said.Task.WaitAsync(stop);
    }

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException("It keeps all by itself.");

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        var line = $"{logLevel} {formatter(state, exception)} {exception}";
        _lines.Enqueue(line);
        foreach (var (text, said) in _awaited)
        {
            if (line.Contains(text, StringComparison.Ordinal)) said.TrySetResult();
        }

        if (Fails?.Invoke(line) == true) throw new IOException("the log is full");
    }

    public void Dispose()
    {
        // Nothing is open.
    }
}

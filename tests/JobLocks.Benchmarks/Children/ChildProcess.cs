using JobLocks.Testing.Postgres;

namespace JobLocks.Benchmarks.Children;

/// <summary>This program once more, with locks of its own.</summary>
internal sealed class ChildProcess : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    // It has said all that it had to say, unless we were stopped while it waited for a lock.
    private static readonly TimeSpan TimeToEnd = TimeSpan.FromSeconds(5);

    private readonly ChildProgram _program;

    private ChildProcess(ChildProgram program) => _program = program;

    public static ChildProcess Start(Bench bench, bool isOurs) =>
        Start(bench.Database.ConnectionString(Child.Verb), Child.Verb, isOurs ? Child.Ours : Child.Theirs);

    public static ChildProcess Start(string connectionString, params string[] arguments) =>
        new(ChildProgram.Start(typeof(ChildProcess).Assembly, arguments, [KeyValuePair.Create(Child.ConnectionVariable, connectionString)], TimeToEnd));

    /// <summary>Ends it as nobody should: it can give nothing back.</summary>
    public void Kill() => _program.Kill();

    public Task OrderAsync(string act, object argument) => _program.WriteLineAsync(FormattableString.Invariant($"{act} {argument}"), CancellationToken.None);

    /// <summary>Reads the next line.</summary>
    public async Task<string> AnswerAsync(CancellationToken stop) =>
        await _program.ReadLineAsync(Patience, stop) ?? throw new InvalidOperationException("The other process ended too early; what it said stands above.");

    /// <summary>Reads the next line, which can only be this one.</summary>
    public async Task ExpectAsync(string answer, CancellationToken stop)
    {
        var said = await AnswerAsync(stop);
        if (!string.Equals(said, answer, StringComparison.Ordinal)) throw new InvalidOperationException($"The other process should have said \"{answer}\", but said \"{said}\".");
    }

    public ValueTask DisposeAsync() => _program.DisposeAsync();
}

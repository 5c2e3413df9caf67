using System.Text.Json;

namespace JobLocks.Chaos;

/// <summary>A record in a file, so that a history that went wrong once can be read and checked again.</summary>
internal static class RecordFile
{
    private static readonly JsonSerializerOptions Options = new() { IncludeFields = true };

    public static async Task WriteAsync(FileInfo file, Record record, bool isCalm, CancellationToken stop)
    {
        await using var stream = file.Create();
        await JsonSerializer.SerializeAsync(stream, new Contents(record, isCalm), Options, stop);
    }

    /// <summary>Checks a record that was written before. What PostgreSQL said at the end is not in it.</summary>
    /// <returns>0 where nothing went wrong.</returns>
    public static int Judge(FileInfo file)
    {
        using var stream = file.OpenRead();
        var contents = JsonSerializer.Deserialize<Contents>(stream, Options)!;
        var wrong = Checker.Check(contents.Record, contents.IsCalm);
        Checker.Print(wrong);
        return wrong.Count == 0 ? 0 : 1;
    }

    private sealed record Contents(Record Record, bool IsCalm);
}

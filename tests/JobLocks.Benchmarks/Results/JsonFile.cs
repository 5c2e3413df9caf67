using System.Text.Encodings.Web;
using System.Text.Json;
using JobLocks.Benchmarks.Measuring;

namespace JobLocks.Benchmarks.Results;

/// <summary>The same table for programs: an array with one object for each row.</summary>
internal static class JsonFile
{
    private static readonly JsonSerializerOptions Layout = new()
    {
        WriteIndented = true,
        // The file is no part of a web page, so a goal may keep its ">=".
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Asked before anything is measured, since afterwards it would be too late.</summary>
    /// <returns>Why the file cannot be written; null where it can.</returns>
    public static string? WhyNot(string path)
    {
        try
        {
            var isNew = !File.Exists(path);
            File.OpenWrite(path).Dispose();
            if (isNew) File.Delete(path);
            return null;
        }
        catch (Exception reason) when (reason is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            return $"--json {path} cannot be written: {reason.Message}";
        }
    }

    public static async Task WriteAsync(string path, IEnumerable<Row> rows)
    {
        await using var file = File.Create(path);
        await JsonSerializer.SerializeAsync(file, rows.Select(Object), Layout);
    }

    private static Dictionary<string, object?> Object(Row row) => new(StringComparer.Ordinal)
    {
        ["case"] = row.Case,
        ["peer"] = row.Peer,
        ["callers"] = row.Callers,
        ["metric"] = row.Metric,
        ["unit"] = row.Unit,
        ["ours"] = Number(row.Ours?.Median),
        ["theirs"] = Number(row.Theirs?.Median),
        ["ratio"] = row.Ratio,
        ["goal"] = row.Goal?.Text,
        ["reached"] = row.IsReached,
        ["spread"] = new Dictionary<string, double?[]?>(StringComparer.Ordinal) { ["ours"] = Range(row.Ours), ["theirs"] = Range(row.Theirs) },
        ["note"] = row.Note,
    };

    private static double?[]? Range(Spread? spread) => spread is { } rounds ? [Number(rounds.Least), Number(rounds.Most)] : null;

    // JSON has no word for what is not a number.
    private static double? Number(double? number) => number is { } value && double.IsFinite(value) ? value : null;
}

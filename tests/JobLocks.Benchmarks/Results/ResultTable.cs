using System.Globalization;
using JobLocks.Benchmarks.Measuring;
using Spectre.Console;

namespace JobLocks.Benchmarks.Results;

/// <summary>The one table on the screen.</summary>
internal static class ResultTable
{
    // Wide enough for the longest row: a file has no edge at which to break lines.
    private const int WidthOfFile = 200;

    public static void Print(IReadOnlyList<Row> rows)
    {
        var isTerminal = !Console.IsOutputRedirected;
        if (!isTerminal) AnsiConsole.Profile.Width = WidthOfFile;

        var table = new Table { Border = isTerminal ? TableBorder.Rounded : TableBorder.Ascii };
        table.AddColumns("case", "peer", "callers", "metric", "ours", "theirs", "ratio", "goal", "reached", "spread of ours", "spread of theirs");
        foreach (var number in new[] { 2, 4, 5, 6, 9, 10 }) table.Columns[number].RightAligned();
        foreach (var row in rows) table.AddRow(Cells(row).Select(Markup.Escape).ToArray());
        AnsiConsole.Write(table);

        foreach (var row in rows.Where(static row => row.Note is not null)) Console.WriteLine($"{Title(row)}: {row.Note}");
    }

    private static IEnumerable<string> Cells(Row row) =>
    [
        row.Case,
        row.Peer,
        row.Callers?.ToString(CultureInfo.InvariantCulture) ?? "",
        row.Unit.Length == 0 ? row.Metric : $"{row.Metric}, {row.Unit}",
        Number(row.Ours?.Median),
        Number(row.Theirs?.Median),
        Number(row.Ratio),
        row.Goal?.Text ?? "",
        row.IsReached switch { true => "yes", false => "NO", null => "" },
        Range(row.Ours),
        Range(row.Theirs),
    ];

    private static string Title(Row row) => string.Join(' ', new[] { row.Case, row.Peer, row.Callers?.ToString(CultureInfo.InvariantCulture) }.Where(static part => part is not null));

    private static string Range(Spread? spread) => spread is { } rounds ? $"{Number(rounds.Least)}..{Number(rounds.Most)}" : "";

    private static string Number(double? number) => number switch
    {
        null => "",
        { } value when double.IsNaN(value) => "-",
        >= 100 or 0 => number.Value.ToString("N0", CultureInfo.InvariantCulture),
        >= 10 => number.Value.ToString("0.0", CultureInfo.InvariantCulture),
        >= 1 => number.Value.ToString("0.00", CultureInfo.InvariantCulture),
        _ => number.Value.ToString("0.###", CultureInfo.InvariantCulture),
    };
}

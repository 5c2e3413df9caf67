namespace JobLocks.Inspection.Pages;

/// <summary>A table of a page, as all dashboards show it.</summary>
/// <typeparam name="TRow">The type of the rows.</typeparam>
/// <param name="Heading">The heading above it.</param>
/// <param name="WhenEmpty">The sentence that is shown instead of a table without rows.</param>
/// <param name="Columns">Its columns, from left to right.</param>
internal sealed record PageTable<TRow>(string Heading, string WhenEmpty, IReadOnlyList<Column<TRow>> Columns);

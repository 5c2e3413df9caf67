namespace JobLocks.Inspection.Pages;

/// <summary>A column of a table.</summary>
/// <typeparam name="TRow">The type of the rows.</typeparam>
/// <param name="Header">The text of its header.</param>
/// <param name="Kind">What its cells contain.</param>
/// <param name="Cell">The content of the cell of a row, in the HTML of a dashboard.</param>
internal sealed record Column<TRow>(string Header, ColumnKind Kind, Func<TRow, ICellHtml, Markup> Cell);

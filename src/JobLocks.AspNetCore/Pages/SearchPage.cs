using JobLocks.Inspection.Pages;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>Shows the results of a search.</summary>
internal sealed class SearchPage(string basePath, string query, IReadOnlyList<LockMatch> found)
{
    private static readonly IReadOnlyList<Column<LockMatch>> Columns =
    [
        LockTables.LockName<LockMatch>(static match => match.Key, static match => match.Name),
        new("Key", ColumnKind.Number, static (match, _) => LockTables.Number(match.Key.Value)),
        new("Found by", ColumnKind.Text, static (match, _) => Markup.Of($"<bdi>{DisplayText.Name(match.Because)}</bdi>")),
    ];

    public Markup Render() => found.Count == 0
        ? Markup.Of(
            $"""
            <h1>Nothing found for <bdi>{DisplayText.Short(DisplayText.Name(query))}</bdi></h1>
            <p class="empty">Look for a part of a lock name, for its key, or for the id of a job that waits or runs. The ten thousand names seen last are known.</p>
            """)
        : Markup.Of(
            $"""
            <h1>Found for <bdi>{DisplayText.Short(DisplayText.Name(query))}</bdi></h1>
            {Parts.Table(Columns, found.DistinctBy(static match => match.Key).Select(static match => (match, $"found-{match.Key}")), basePath)}
            """);
}

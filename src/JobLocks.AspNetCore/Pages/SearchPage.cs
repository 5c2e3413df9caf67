using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>Shows the results of a search.</summary>
internal sealed class SearchPage(string basePath, string query, IReadOnlyList<LockMatch> found)
{
    public Markup Render() => found.Count == 0
        ? Markup.Of(
            $"""
            <h1>Nothing found for <bdi>{DisplayText.Short(DisplayText.Name(query))}</bdi></h1>
            <p class="empty">Look for a part of a lock name, for its key, or for the id of a job that waits or runs. The ten thousand names seen last are known.</p>
            """)
        : Markup.Of(
            $"""
            <h1>Found for <bdi>{DisplayText.Short(DisplayText.Name(query))}</bdi></h1>
            <table>
            <thead><tr><th scope="col">Name</th><th scope="col">Key</th><th scope="col">Found by</th></tr></thead>
            <tbody>{Markup.Join(found.DistinctBy(static match => match.Key).Select(match => Markup.Of(
                $"""
                <tr><td data-label="Name">{Parts.Link(basePath, $"found-{match.Key}", match.Key, match.Name)}</td><td data-label="Key" class="number">{match.Key.Value}</td><td data-label="Found by"><bdi>{DisplayText.Name(match.Because)}</bdi></td></tr>

                """)))}</tbody>
            </table>
            """);
}

namespace JobLocks.Inspection.Pages;

/// <summary>Why a page cannot show the locks: PostgreSQL cannot be asked for them.</summary>
/// <param name="Title">The failure in one sentence, without the full stop.</param>
/// <param name="Detail">The cause, and how to fix it.</param>
/// <param name="IsTemporary">Whether the same page can be shown a moment later.</param>
internal sealed record ReadingFailure(string Title, string Detail, bool IsTemporary)
{
    private const string CannotAsk = "PostgreSQL cannot be asked for its locks";

    /// <summary>The failure for an exception.</summary>
    public static ReadingFailure Of(JobLocksUnavailableException thrown) => thrown switch
    {
        { InspectionErrorTitle: { } title } => new(title, $"{thrown.Message} The page is loaded again by itself.", IsTemporary: true),
        { NeedsChange: true } => new(CannotAsk, thrown.Message, IsTemporary: false),
        _ => new(CannotAsk, $"{thrown.Message} Check that the server runs and that this application reaches it.", IsTemporary: false),
    };
}

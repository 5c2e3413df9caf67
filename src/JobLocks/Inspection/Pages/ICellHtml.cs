namespace JobLocks.Inspection.Pages;

/// <summary>The HTML of a dashboard for those contents of a cell that each dashboard renders in its own way. All texts are safe for one line.</summary>
internal interface ICellHtml
{
    /// <summary>A lock name with a link to its page.</summary>
    /// <param name="key">The key of the name.</param>
    /// <param name="text">The name, shortened.</param>
    /// <param name="title">The name.</param>
    Markup LockName(LockKey key, string text, string title);

    /// <summary>The holder of a lock. A foreign holder is marked. A dashboard that has a page for its run may link to it.</summary>
    /// <param name="holder">The holder.</param>
    /// <param name="text">The holder as text.</param>
    Markup Holder(LockHolder holder, string text);

    /// <summary>A waiting run. A dashboard that has a page for it may link to it.</summary>
    /// <param name="run">The run.</param>
    /// <param name="text">The run as it is shown.</param>
    /// <param name="title">The name of the run in its job store.</param>
    Markup Run(QueuedRun run, string text, string title);

    /// <summary>An instant, which a script may show in the time zone of the viewer.</summary>
    /// <param name="at">The instant.</param>
    Markup Instant(DateTimeOffset at);

    /// <summary>A text instead of a value that does not exist.</summary>
    /// <param name="text">The text.</param>
    Markup Missing(string text);
}

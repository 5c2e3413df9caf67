using Microsoft.AspNetCore.Http;

namespace JobLocks.AspNetCore;

/// <summary>Options of the page.</summary>
public sealed class JobLocksPageOptions
{
    /// <summary>Whether the page is read-only for a request: the user may see the locks, but may not request a release.</summary>
    /// <value>Default: false for every request. Every user who may see the page may request a release.</value>
    public Func<HttpContext, bool> IsReadOnly { get; set; } = static _ => false;

    /// <summary>The title of the page and of its browser tab.</summary>
    /// <value>Default <c>Locks</c>.</value>
    public string Title { get; set; } = "Locks";
}

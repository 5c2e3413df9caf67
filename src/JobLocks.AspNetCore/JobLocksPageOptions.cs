using Microsoft.AspNetCore.Http;

namespace JobLocks.AspNetCore;

/// <summary>What may be done on the page.</summary>
public sealed class JobLocksPageOptions
{
    /// <summary>Who may look, but not ask a holder to let go.</summary>
    /// <value>Default: nobody; who may see the page may ask.</value>
    public Func<HttpContext, bool> IsReadOnly { get; set; } = static _ => false;

    /// <summary>The title of the page, and of its tab.</summary>
    /// <value>Default <c>Locks</c>.</value>
    public string Title { get; set; } = "Locks";
}

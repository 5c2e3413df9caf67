using System.Globalization;
using Hangfire;
using Hangfire.Dashboard;
using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>
/// Adds the page of the locks, and the sentence on the page of a job, to Hangfire's dashboard. Hangfire keeps its routes and menus once for a process.
/// </summary>
internal static class LocksDashboard
{
    public const string Path = "/joblocks";

    private const string NamePath = Path + "/names/(?<key>-?[0-9]+)";
    private const int JobSectionOrder = 100;

    private static readonly TimeSpan CountLifetime = TimeSpan.FromSeconds(2);

    private static int _isAdded;
    private static (long ReadAt, long Held, JobStorage? Storage) _count;

    public static void AddTo(IGlobalConfiguration configuration)
    {
        if (Interlocked.Exchange(ref _isAdded, 1) != 0) return;

        DashboardRoutes.Routes.AddRazorPage(Path, static _ => new LocksPage());
        DashboardRoutes.Routes.AddRazorPage(NamePath, static match => new NamePage(new(KeyIn(match.Groups["key"].Value))));
        DashboardRoutes.Routes.AddCommand(NamePath + "/release/(?<slot>-?[0-9]+)", Release);
        DashboardRoutes.Routes.Add(Path + "/runs/(?<run>.+)", new SentenceDispatcher());
        NavigationMenu.Items.Add(static page => new("Locks", page.Url.To(Path))
        {
            Active = page.RequestPath.StartsWith(Path, StringComparison.Ordinal),
            Metric = new("joblocks:held", "Locks held", static page => new(Count(page.Storage))),
        });
        configuration.UseJobDetailsRenderer(JobSectionOrder, static job => new(SentenceDispatcher.Render(job)));
        configuration.UseDashboardJavaScript(typeof(LocksDashboard).Assembly, "JobLocks.Hangfire.locks.js");
        configuration.UseDashboardStylesheet(typeof(LocksDashboard).Assembly, "JobLocks.Hangfire.plots.css");
        configuration.UseDashboardStylesheetDarkMode(typeof(LocksDashboard).Assembly, "JobLocks.Hangfire.plots-dark.css");
    }

    /// <summary>The inspector of the locks of a storage; null if the storage has no locks.</summary>
    public static IPageInspector? Of(JobStorage storage) => ConfiguredGates.GetOrAssign(storage)?.Inspection;

    /// <summary>Keeps the count of held locks that a page has read. The menu is rendered after the page, so both show the same number.</summary>
    public static void KeepCount(JobStorage storage, long held) => _count = (Environment.TickCount64, held, storage);

    private static long KeyIn(string digits) => long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var key) ? key : 0;

    /// <summary>Whether the dashboard has an antiforgery token. Without a token, a form of another site could pass for a form of this page.</summary>
    public static bool HasAntiforgeryToken(DashboardContext context) => context.AntiforgeryToken is not null;

    /// <summary>
    /// Requests the release of a lock. Hangfire has already refused requests to a read-only dashboard, and requests with a wrong antiforgery token. It does
    /// not check for a token if the dashboard has none.
    /// </summary>
    private static bool Release(DashboardContext context)
    {
        if (!HasAntiforgeryToken(context) || Of(context.Storage) is not { } locks) return false;

        var name = new LockKey(KeyIn(context.UriMatch.Groups["key"].Value));
        var slot = new LockKey(KeyIn(context.UriMatch.Groups["slot"].Value));
        var requestedBy = $"a user at {context.Request.RemoteIpAddress ?? "this machine"}";
        // The application may authorize each lock by the text of the URL path. Hangfire's routes ignore case and a trailing slash, so only the exact text is
        // accepted.
        if (!context.Request.Path.EndsWith($"{Path}/names/{name}/release/{slot}", StringComparison.Ordinal)) return false;

        try
        {
            // The slot must belong to the name, so that no other lock can be released under the path of this name.
            if (!Blocking.Wait(locks.GetNameAsync(name, 0, 1)).Includes(slot)) return false;

            var answer = Blocking.Wait(locks.RequestReleaseAsync(name, slot, requestedBy, TimeSpan.FromSeconds(5), CancellationToken.None));
            locks.Pages.Clear();
            return answer is ReleaseAnswer.Released or ReleaseAnswer.WasFree or ReleaseAnswer.StillHeld;
        }
        catch (Exception refused) when (refused is UnauthorizedAccessException or JobLocksUnavailableException)
        {
            // The database role of this application may not request the release, or the server cannot be asked.
            return false;
        }
    }

    /// <summary>The number of held locks in the menu. Every page shows it, so it is read at most once in two seconds.</summary>
    private static long Count(JobStorage storage)
    {
        var (readAt, held, countedStorage) = _count;
        if (countedStorage == storage && Environment.TickCount64 - readAt < CountLifetime.TotalMilliseconds) return held;

        try
        {
            held = Of(storage) is { } locks ? Blocking.Wait(locks.Pages.ReadAsync("held at all", static look => look.GetHeldAsync(0, 1), CancellationToken.None)).Total : 0;
        }
        catch (Exception)
        {
            // Any error is ignored: the other pages do not need this number, and the page of the locks shows the error.
            held = 0;
        }

        KeepCount(storage, held);
        return held;
    }
}

using System.Globalization;
using Hangfire;
using Hangfire.Dashboard;
using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>The page of the locks in Hangfire's dashboard, and the one sentence on the page of a job. Hangfire keeps all of this once in a process.</summary>
internal static class LocksDashboard
{
    public const string Path = "/joblocks";

    private const string OfName = Path + "/names/(?<key>-?[0-9]+)";
    private const int BelowTheJob = 100;

    private static readonly TimeSpan CountLasts = TimeSpan.FromSeconds(2);

    private static int _isAdded;
    private static (long At, long Held, JobStorage? Storage) _count;

    public static void AddTo(IGlobalConfiguration configuration)
    {
        if (Interlocked.Exchange(ref _isAdded, 1) != 0) return;

        DashboardRoutes.Routes.AddRazorPage(Path, static _ => new LocksPage());
        DashboardRoutes.Routes.AddRazorPage(OfName, static match => new NamePage(new(KeyIn(match.Groups["key"].Value))));
        DashboardRoutes.Routes.AddCommand(OfName + "/release/(?<slot>-?[0-9]+)", Release);
        DashboardRoutes.Routes.Add(Path + "/runs/(?<run>.+)", new SentenceDispatcher());
        NavigationMenu.Items.Add(static page => new("Locks", page.Url.To(Path))
        {
            Active = page.RequestPath.StartsWith(Path, StringComparison.Ordinal),
            Metric = new("joblocks:held", "Locks held", static page => new(Count(page.Storage))),
        });
        configuration.UseJobDetailsRenderer(BelowTheJob, static job => new(SentenceDispatcher.Render(job)));
        configuration.UseDashboardJavaScript(typeof(LocksDashboard).Assembly, "JobLocks.Hangfire.locks.js");
    }

    /// <summary>Looks at the locks of a storage; null where none belong to it.</summary>
    public static IPageInspector? Of(JobStorage storage) => ConfiguredGates.Of(storage)?.Inspection;

    /// <summary>The number in the menu is that of the page below it: the menu is written after the page.</summary>
    public static void Counted(JobStorage storage, long held) => _count = (Environment.TickCount64, held, storage);

    private static long KeyIn(string digits) => long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var key) ? key : 0;

    /// <summary>Where there is no token, a form of any other site could be taken for one of this page.</summary>
    public static bool CanTellWhoAsks(DashboardContext context) => context.AntiforgeryToken is not null;

    /// <summary>Hangfire has refused already who may only look, and who does not come from the page; but it asks for a token only where there is one.</summary>
    private static bool Release(DashboardContext context)
    {
        if (!CanTellWhoAsks(context) || Of(context.Storage) is not { } locks) return false;

        var name = new LockKey(KeyIn(context.UriMatch.Groups["key"].Value));
        var slot = new LockKey(KeyIn(context.UriMatch.Groups["slot"].Value));
        var by = $"somebody at {context.Request.RemoteIpAddress ?? "this machine"}";
        // The application may decide by the address, as text, who may ask for which lock. Hangfire takes no notice of case, and of a slash at the end.
        if (!context.Request.Path.EndsWith($"{Path}/names/{name}/release/{slot}", StringComparison.Ordinal)) return false;

        try
        {
            // Nor can another lock be asked for under a name.
            if (!Blocking.Wait(locks.GetNameAsync(name, 0, 1)).MayHave(slot)) return false;

            var answer = Blocking.Wait(locks.RequestReleaseAsync(slot, by, TimeSpan.FromSeconds(5), CancellationToken.None));
            locks.Pages.Forget();
            return answer is ReleaseAnswer.Released or ReleaseAnswer.WasFree or ReleaseAnswer.StillHeld;
        }
        catch (Exception refused) when (refused is UnauthorizedAccessException or JobLocksUnavailableException)
        {
            // The database role of this application may not, or nobody can be asked.
            return false;
        }
    }

    /// <summary>It stands on every page, and is not asked for anew by each of them.</summary>
    private static long Count(JobStorage storage)
    {
        var (at, held, of) = _count;
        if (of == storage && Environment.TickCount64 - at < CountLasts.TotalMilliseconds) return held;

        try
        {
            held = Of(storage) is { } locks ? Blocking.Wait(locks.Pages.ReadAsync("held at all", static look => look.GetHeldAsync(0, 1), CancellationToken.None)).Total : 0;
        }
        catch (Exception)
        {
            // Whatever it is: the other pages do not need this number, and the page of the locks says what is wrong.
            held = 0;
        }

        Counted(storage, held);
        return held;
    }
}

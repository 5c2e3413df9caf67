using Hangfire.Dashboard;
using JobLocks.Inspection.Pages;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>
/// Explains in one sentence why a job does not start. The sentence is part of the job's page, and a script reads it again to update the page.
/// </summary>
internal sealed class SentenceDispatcher : IDashboardDispatcher
{
    public static string Render(JobDetailsRendererDto job)
    {
        var sentence = Blocking.Wait(SentenceAsync(job.Page.Storage, job.JobId));
        var url = job.Page.Url.To($"{LocksDashboard.Path}/runs/{Uri.EscapeDataString(job.JobId)}");
        return Markup.Of(
            $"""
            <div class="js-joblocks" data-url="{url}"{(sentence is null ? Markup.Of($" hidden") : Markup.None)}>
            <h3>Lock</h3>
            <p class="alert alert-info" role="status">{sentence}</p>
            </div>
            """).ToString();
    }

    public async Task Dispatch(DashboardContext context)
    {
        if (!"GET".Equals(context.Request.Method, StringComparison.OrdinalIgnoreCase))
        {
            context.Response.StatusCode = 405;
            return;
        }

        context.Response.ContentType = "text/plain; charset=utf-8";
        await context.Response.WriteAsync(await SentenceAsync(context.Storage, Uri.UnescapeDataString(context.UriMatch.Groups["run"].Value)).ConfigureAwait(false) ?? "").ConfigureAwait(false);
    }

    private static async Task<string?> SentenceAsync(global::Hangfire.JobStorage storage, string job)
    {
        if (LocksDashboard.Of(storage) is not { } locks) return null;

        try
        {
            var store = await HangfireRuns.Of(storage).IdentifyAsync(CancellationToken.None).ConfigureAwait(false);
            return await locks.Pages.ExplainAsync(job, store, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            // The page of the job is useful even without the sentence.
            return broken is JobLocksUnavailableException ? broken.Message : $"It is not known whether this job waits for a lock: {DisplayText.Message(broken.Message)}";
        }
    }
}

using System.Net;
using System.Text.RegularExpressions;
using Hangfire;
using Hangfire.Dashboard;
using JobLocks.AspNetCore.Tests;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Hangfire's own dashboard over a storage, on a port of its own.</summary>
internal sealed partial class DashboardSite : IAsyncDisposable
{
    private const string TooManyLook = "connections of this process for inspection";

    private readonly WebApplication _app;

    private DashboardSite(WebApplication app)
    {
        _app = app;
        Client = new() { BaseAddress = new(app.Urls.Single()) };
    }

    public HttpClient Client { get; }

    public static async Task<DashboardSite> StartAsync(JobStorage storage, bool isReadOnly = false, bool isAllowed = true, bool hasAntiforgery = true, IJobLockInspector? locks = null)
    {
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { EnvironmentName = "Development" });
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        // What AddHangfire would add, but for the activator of all jobs in this process.
        builder.Services.AddSingleton<IGlobalConfiguration>(GlobalConfiguration.Configuration).AddSingleton(DashboardRoutes.Routes).AddSingleton(storage);
        if (locks is not null) builder.Services.AddSingleton(locks);
        if (hasAntiforgery) builder.Services.AddAntiforgery();
        var app = builder.Build();
        app.UseHangfireDashboard("/hangfire", new() { Authorization = [new Allowed(isAllowed)], IsReadOnlyFunc = _ => isReadOnly }, storage);
        if (locks is not null) app.MapJobLocks();
        await app.StartAsync();
        return new(app);
    }

    public async Task<string> GetAsync(string path)
    {
        while (true)
        {
            var answer = await Client.GetPageAsync(path);
            Assert.That((int)answer.StatusCode, Is.EqualTo(200), path);
            var text = await answer.Content.ReadAsStringAsync();
            // The page of a job is of use without the sentence of JobLocks, which then says that too many look.
            if (!text.Contains(TooManyLook, StringComparison.Ordinal)) return text;

            await Task.Delay(TimeSpan.FromMilliseconds(100));
        }
    }

    /// <summary>As the script of the dashboard does, with the token of its pages.</summary>
    public async Task<int> PostAsync(string path, CancellationToken stop)
    {
        var page = await (await Client.GetAsync(new Uri("/hangfire/", UriKind.Relative), stop)).Content.ReadAsStringAsync(stop);
        using var request = new HttpRequestMessage(HttpMethod.Post, path);
        var token = Token().Matches(page).ToDictionary(static part => part.Groups["part"].Value, static part => WebUtility.HtmlDecode(part.Groups["value"].Value), StringComparer.Ordinal);
        if (token.Count > 0) request.Headers.Add(token["header"], token["token"]);
        return (int)(await Client.SendAsync(request, stop)).StatusCode;
    }

    /// <summary>As a page of another site does.</summary>
    public async Task<int> ForgeAsync(string path, CancellationToken stop)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new FormUrlEncodedContent([]) };
        request.Headers.Add("Origin", "https://elsewhere.example");
        request.Headers.Add("Sec-Fetch-Site", "cross-site");
        return (int)(await Client.SendAsync(request, stop)).StatusCode;
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.DisposeAsync();
    }

    [GeneratedRegex("<meta name=\"csrf-(?<part>header|token)\" content=\"(?<value>[^\"]*)\"", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Token();

    private sealed class Allowed(bool isAllowed) : IDashboardAuthorizationFilter
    {
        public bool Authorize(DashboardContext context) => isAllowed;
    }
}

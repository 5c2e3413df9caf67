using Hangfire;
using Hangfire.Dashboard;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Hangfire's own dashboard over a storage, on a port of its own.</summary>
internal sealed class DashboardSite : IAsyncDisposable
{
    private readonly WebApplication _app;

    private DashboardSite(WebApplication app)
    {
        _app = app;
        Client = new() { BaseAddress = new(app.Urls.Single()) };
    }

    public HttpClient Client { get; }

    public static async Task<DashboardSite> StartAsync(JobStorage storage, bool isReadOnly = false, bool isAllowed = true)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        // What AddHangfire would add, but for the activator of all jobs in this process.
        builder.Services.AddSingleton<IGlobalConfiguration>(GlobalConfiguration.Configuration).AddSingleton(DashboardRoutes.Routes).AddSingleton(storage);
        var app = builder.Build();
        app.UseHangfireDashboard("/hangfire", new() { Authorization = [new Allowed(isAllowed)], IsReadOnlyFunc = _ => isReadOnly }, storage);
        await app.StartAsync();
        return new(app);
    }

    public async Task<string> GetAsync(string path)
    {
        var answer = await Client.GetAsync(new Uri(path, UriKind.Relative));
        Assert.That((int)answer.StatusCode, Is.EqualTo(200), path);
        return await answer.Content.ReadAsStringAsync();
    }

    public async Task<int> PostAsync(string path, CancellationToken stop) => (int)(await Client.PostAsync(new Uri(path, UriKind.Relative), content: null, stop)).StatusCode;

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await _app.DisposeAsync();
    }

    private sealed class Allowed(bool isAllowed) : IDashboardAuthorizationFilter
    {
        public bool Authorize(DashboardContext context) => isAllowed;
    }
}

using System.Globalization;
using Hangfire;
using Hangfire.PostgreSql;
using JobLocks.Hangfire;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ClientSync;

/// <summary>Hangfire's dashboard and the page of the locks, on a port of this machine, while the servers work.</summary>
internal sealed class Dashboards : IAsyncDisposable
{
    private readonly WebApplication _app;

    private Dashboards(WebApplication app) => _app = app;

    /// <summary>Where to look.</summary>
    public IReadOnlyList<string> Addresses => [$"{_app.Urls.First()}/joblocks", $"{_app.Urls.First()}/hangfire/joblocks"];

    public static async Task<Dashboards> StartAsync(string connectionString, int port, CancellationToken stop)
    {
        // The page answers this machine without authorisation in Development only. Elsewhere: app.MapJobLocks(...).RequireAuthorization().
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { EnvironmentName = Environments.Development });
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}"));
        builder.Services.AddJobLocks(connectionString, static options => options.ApplicationName = "ClientSync dashboards");
        builder.Services.AddAntiforgery();
        builder.Services.AddHangfire((services, hangfire) => hangfire
            .UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(connectionString), Server.HangfireStorage)
            .UseJobLocks(services));
        var app = builder.Build();
        app.UseHangfireDashboard("/hangfire");
        app.MapJobLocks("/joblocks");
        await app.StartAsync(stop);
        return new(app);
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();
}

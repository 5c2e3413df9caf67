using System.Net;
using System.Text.RegularExpressions;
using JobLocks.Gate;
using JobLocks.Testing.Postgres;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.AspNetCore.Tests;

/// <summary>An application with the page, on a port of its own, with a database of its own.</summary>
internal sealed partial class Site : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly string _database;

    private Site(WebApplication app, AdvisoryLocks locks, string database)
    {
        _app = app;
        _database = database;
        Locks = locks;
        Address = new(app.Urls.Single());
        // Redirects are looked at, and cookies kept.
        Client = new(new SocketsHttpHandler { AllowAutoRedirect = false, CookieContainer = new() }) { BaseAddress = Address };
    }

    /// <summary>Those of another process, which hold and wait.</summary>
    public AdvisoryLocks Locks { get; }

    public Uri Address { get; }

    public HttpClient Client { get; }

    public static async Task<Site> StartAsync(
        Action<IEndpointConventionBuilder>? conventions = null, Action<JobLocksPageOptions>? options = null, bool hasAntiforgery = true, string pattern = "/joblocks", string settings = "", Action<IServiceCollection>? services = null, string environment = "Development")
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("page");
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions { EnvironmentName = environment });
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddJobLocks(database + settings);
        services?.Invoke(builder.Services);
        if (hasAntiforgery) builder.Services.AddAntiforgery();
        builder.Services.AddOpenApi();
        builder.Services.AddAuthorization();
        builder.Services.AddAuthentication("header").AddScheme<AuthenticationSchemeOptions, HeaderAuthentication>("header", null);
        var app = builder.Build();
        // As a server sees somebody from another machine.
        app.Use(static (http, next) =>
        {
            if (http.Request.Headers["X-From"] is [{ } from]) http.Connection.RemoteIpAddress = from is "nowhere" ? null : IPAddress.Parse(from);
            return next(http);
        });
        app.UseAuthentication();
        app.UseAuthorization();
        app.MapOpenApi();
        var page = app.MapJobLocks(pattern, options);
        conventions?.Invoke(page);
        await app.StartAsync();
        return new(app, AdvisoryLocks.Connect(database, static options => options.ApplicationName = "billing@web-3:812"), database);
    }

    public async Task<JobLockHandle> HoldAsync(string name, string run = "Hangfire job 1187", LockMode mode = LockMode.Exclusive) =>
        (await ((ILockBackend)Locks).TryAcquireAllAsync([new(name, LockKey.Of(name), mode)], new() { Run = run }, entry: null, blocks: false, default)).Handles[0];

    public async Task ParkAsync(string name, string run)
    {
        var line = ((ILockBackend)Locks).WaitQueue;
        var standing = await line.EnqueueAsync(new("Hangfire store", run, "default"), new(name, LockKey.Of(name)), default, blocks: false, default);
        await line.MarkParkedAsync(standing.Entry!, blocks: false, default);
    }

    /// <summary>Waits until other processes see who holds this.</summary>
    public async Task WrittenDownAsync(CancellationToken stop)
    {
        while ((await Locks.Inspector.GetOverviewAsync(stop)).HasNames && (await OthersAsync(stop)).All(static one => one.Holder.Run is null)) stop.ThrowIfCancellationRequested();
    }

    public async Task<string> GetAsync(string path, HttpStatusCode expected = HttpStatusCode.OK)
    {
        var answer = expected == HttpStatusCode.OK ? await Client.GetPageAsync(path) : await Client.GetAsync(new Uri(path, UriKind.Relative));
        Assert.That(answer.StatusCode, Is.EqualTo(expected), path);
        return await answer.Content.ReadAsStringAsync();
    }

    /// <summary>What the form of a page sends, whichever of its buttons is pressed.</summary>
    public static FormUrlEncodedContent FormOn(string page) =>
        new(Field().Matches(page).DistinctBy(static field => field.Groups["name"].Value, StringComparer.Ordinal).Select(static field => KeyValuePair.Create(field.Groups["name"].Value, WebUtility.HtmlDecode(field.Groups["value"].Value))));

    public Task<object?> AskAsync(string sql) => DatabaseState.ReadAsync(_database, sql);

    /// <summary>Past the application, into its database.</summary>
    public async Task<NpgsqlConnection> OpenAsync(CancellationToken stop)
    {
        var connection = new NpgsqlConnection(_database);
        await connection.OpenAsync(stop);
        return connection;
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await Locks.DisposeAsync();
        await _app.DisposeAsync();
    }

    private async Task<IReadOnlyList<HeldLock>> OthersAsync(CancellationToken stop) => (await _app.Services.GetRequiredService<IJobLockInspector>().GetHeldAsync(stop: stop)).Items;

    [GeneratedRegex("<input type=\"hidden\" name=\"(?<name>[^\"]+)\" value=\"(?<value>[^\"]*)\"", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Field();
}

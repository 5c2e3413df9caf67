using JobLocks;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Snippets;

public static class DashboardSnippets
{
    public static void Map(WebApplicationBuilder builder, string connectionString)
    {
        builder.Services.AddJobLocks(connectionString);
        builder.Services.AddAntiforgery();                              // without it, the page is read-only
        builder.Services.AddAuthorization(options => options.AddPolicy("operators", policy => policy.RequireRole("operator")));

        var app = builder.Build();
        app.MapJobLocks("/joblocks").RequireAuthorization("operators");
    }

    public static void MapReadOnly(WebApplication app)
    {
        app.MapJobLocks("/joblocks", page => page.IsReadOnly = http => !http.User.IsInRole("operator")).RequireAuthorization();
    }

    public static async Task LookAsync(IJobLockInspector locks, CancellationToken stop)
    {
        var sentence = await locks.ExplainAsync("4711", stop);          // a Hangfire job id, a Quartz job key, or the name of the run in the wait queue
        Console.WriteLine(sentence ?? "It neither waits nor runs.");

        foreach (var held in (await locks.GetHeldAsync(take: 20, stop: stop)).Items)
            Console.WriteLine($"{held.Name ?? held.Key.ToString()} is held by {held.Holder} since {held.Holder.Since}");

        var answer = await locks.RequestReleaseAsync(LockKey.Of("order:42"), by: "alice", stop: stop);
        Console.WriteLine(answer);                                      // Released, WasFree, StillHeld or IsForeign
    }
}

using JobLocks;
using Microsoft.Extensions.DependencyInjection;

namespace Snippets;

internal static class ByHandSnippets
{
    public static async Task Try(IJobLocks locks, CancellationToken stop)
    {
        await using var handle = await locks.TryAcquireAsync("sync(4)", stop);
        if (handle is null) return;                     // it is held elsewhere
        await SyncAsync(4, handle.Lost);                // cancelled when the process is no longer sure that it holds the lock
    }

    public static async Task Wait(IJobLocks locks, CancellationToken stop)
    {
        await using var turn = await locks.AcquireAsync("sync(4)", TimeSpan.FromMinutes(1), stop);
        await SyncAsync(4, turn.Lost);
    }

    public static void Synchronously(IJobLocks locks)
    {
        using var handle = locks.TryAcquire("sync(4)");
        Console.WriteLine(handle is null ? "it is held elsewhere" : $"mine: {handle.Key}");
    }

    public static async Task ByKey(IJobLocks locks, CancellationToken stop)
    {
        await using var sameAsByName = await locks.TryAcquireAsync(LockKey.Of("sync(4)"), stop);   // -672582401413756830
        await using var raw = await locks.TryAcquireAsync(new LockKey(4), stop);                   // pg_try_advisory_lock(4)
    }

    public static void Scope(IServiceCollection services, string connectionString)
    {
        services.AddJobLocks(connectionString, options => options.Scope = "billing");               // sync(4) becomes billing:sync(4)
    }

    private static Task SyncAsync(int clientId, CancellationToken stop) => Task.Delay(TimeSpan.FromSeconds(clientId), stop);
}

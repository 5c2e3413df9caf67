using JobLocks;
using JobLocks.Hangfire;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Snippets;

public class Prices
{
    [JobLock("prices", Mode = LockMode.Shared)]         // any number of these together
    public void Export(string customer) => Console.WriteLine($"Exporting the prices for {customer}");

    [JobLock("prices")]                                 // alone
    public void Import() => Console.WriteLine("Importing the prices");
}

public class Mails
{
    [JobLock("mail({tenant})", Limit = 3)]              // three at once for each tenant, on all servers together
    public void Send(string tenant, int mailId) => Console.WriteLine($"Sending mail {mailId} of {tenant}");
}

internal static class KindsSnippets
{
    public static async Task Readers(IJobLocks locks, CancellationToken stop)
    {
        await using var reader = await locks.TryAcquireAsync("prices", LockMode.Shared, stop);
        if (reader is null) return;                     // a writer holds it, or waits for it
        await using var writer = await locks.AcquireAsync("stock", LockMode.Exclusive, TimeSpan.FromMinutes(1), stop);
    }

    public static async Task AllOrNone(IJobLocks locks, CancellationToken stop)
    {
        await using var both = await locks.TryAcquireAllAsync(["order(7)", "stock(3)"], stop);
        if (both is null) return;                       // one of them is held elsewhere, and JobLocks holds neither
    }

    public static async Task InTransaction(IJobLocks locks, NpgsqlDataSource database, CancellationToken stop)
    {
        await using var connection = await database.OpenConnectionAsync(stop);
        await using var transaction = await connection.BeginTransactionAsync(stop);
        if (await locks.TryAcquireAsync("sync(4)", transaction, stop) is null) return;

        await using var work = new NpgsqlCommand("UPDATE client SET synced_at = now() WHERE id = 4", connection, transaction);
        await work.ExecuteNonQueryAsync(stop);
        await transaction.CommitAsync(stop);            // and the lock ends with it
    }

    public static async Task<bool> WriteGuarded(NpgsqlConnection connection, JobLockHandle handle, int clientId, int balance)
    {
        await using var write = new NpgsqlCommand("UPDATE client SET balance = $1, fence = $2 WHERE id = $3 AND fence <= $2", connection)
        {
            Parameters = { new() { Value = balance }, new() { Value = handle.FencingToken }, new() { Value = clientId } },
        };
        return await write.ExecuteNonQueryAsync() == 1; // false: another holder had the lock after this handle
    }

    public static void Explain()
    {
        var explained = JobLockAttribute.Explain<ClientSync>(sync => sync.Run(4, CancellationToken.None));
        Console.WriteLine($"{explained.Name} is {explained.Key}, by {explained.Rule}");
    }

    public static void Options(IServiceCollection services, string connectionString)
    {
        services.AddJobLocks(connectionString, options =>
        {
            options.Schema = null;                      // create and use no object of ours
            options.LostAfter = TimeSpan.FromSeconds(15);
            options.HeartbeatInterval = TimeSpan.FromSeconds(3);
        });
        services.AddHealthChecks().AddJobLocks();
    }
}

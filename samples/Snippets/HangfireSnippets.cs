using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using JobLocks;
using JobLocks.Hangfire;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Snippets;

public class ClientSync
{
    [JobLock("sync({clientId})")]                       // one run per client, on every machine
    public Task Run(int clientId, CancellationToken stop) => Task.Delay(TimeSpan.FromSeconds(5), stop);
}

public class Invoices
{
    [JobLock("invoice({order.Id})", OnConflict = OnConflict.Skip)]
    public void Write(Order order) => Console.WriteLine($"Writing the invoice of order {order.Id}");

    [JobLock("invoice({order.Id})"), JobLock("stock")]   // both of them or none
    public void Cancel(Order order) => Console.WriteLine($"Cancelling the invoice of order {order.Id}");
}

public record Order(int Id, string Customer);

[JobLock]                                               // on the type, the method and all arguments
public class Reports
{
    public void Write(int year, int month) => Console.WriteLine($"Writing the report of {year}-{month}");
}

public class StockImport
{
    [JobLock("stock", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 5)]
    public async Task Run(CancellationToken stop)
    {
        var handle = JobLockHandle.Current!;
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stop, handle.Lost);
        await Task.Delay(TimeSpan.FromMinutes(10), both.Token);
    }
}

internal static class HangfireSetup
{
    public static void WithContainer(string[] args, string connectionString)
    {
        var builder = Host.CreateApplicationBuilder(args);
        builder.Services.AddJobLocks(connectionString);
        builder.Services.AddHangfire((services, hangfire) => hangfire
            .UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(connectionString))
            .UseJobLocks(services));
        builder.Services.AddHangfireServer();
        builder.Build().Run();
    }

    public static async Task WithoutContainer(string connectionString)
    {
        await using var locks = AdvisoryLocks.Connect(connectionString);
        GlobalConfiguration.Configuration
            .UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(connectionString))
            .UseJobLocks(locks);

        using var server = new BackgroundJobServer();
        BackgroundJob.Enqueue<ClientSync>(sync => sync.Run(4, CancellationToken.None));
        Console.ReadLine();
    }

    public static void WithTwoStorages(string orders, string billing, IJobLocks locks)
    {
        var options = new PostgreSqlStorageOptions();
        var ordersStorage = new PostgreSqlStorage(new NpgsqlConnectionFactory(orders, options), options).UseJobLocks(locks);
        var billingStorage = new PostgreSqlStorage(new NpgsqlConnectionFactory(billing, options), options).UseJobLocks(locks);

        using var ordersServer = new BackgroundJobServer(new(), ordersStorage);
        using var billingServer = new BackgroundJobServer(new(), billingStorage);
        Console.ReadLine();
    }
}

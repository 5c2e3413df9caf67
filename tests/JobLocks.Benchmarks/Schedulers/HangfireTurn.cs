using System.Linq.Expressions;
using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using JobLocks.Hangfire;

namespace JobLocks.Benchmarks.Schedulers;

/// <summary>A Hangfire server that finds its queue full.</summary>
internal sealed class HangfireTurn(Bench bench)
{
    public const int Workers = 20;

    // The same for all. It is never reached while there are jobs.
    private static readonly TimeSpan QueuePollInterval = TimeSpan.FromMilliseconds(100);

    // As many as the machine bears: enqueuing is not measured.
    private const int Enqueuers = 8;

    public async Task<double> RunAsync(Func<int, Expression<Action<HangfireJobs>>> job, int jobs, CancellationToken stop)
    {
        await using var schema = await Schema.CreateAsync(bench.Database, "hangfire", stop);
        await using var locks = AdvisoryLocks.Connect(bench.Database.ConnectionString("hangfire locks"));
        var storage = CreateStorage(schema);
        new StorageConfiguration(storage).UseJobLocks(locks);

        var client = new BackgroundJobClient(storage);
        Parallel.For(0, jobs, new() { MaxDegreeOfParallelism = Enqueuers, CancellationToken = stop }, n => client.Enqueue(job(n)));

        var finish = Finish.Await(jobs);
        using var server = new BackgroundJobServer(new() { WorkerCount = Workers }, storage);
        var rate = await finish.JobsPerSecondAsync(stop);
        server.SendStop();
        await server.WaitForShutdownAsync(stop);
        return rate;
    }

    private static PostgreSqlStorage CreateStorage(Schema schema)
    {
        var options = new PostgreSqlStorageOptions { SchemaName = schema.Name, QueuePollInterval = QueuePollInterval };
        return new(new NpgsqlConnectionFactory(schema.ConnectionString, options), options);
    }

    private sealed record StorageConfiguration(PostgreSqlStorage Entry) : IGlobalConfiguration<PostgreSqlStorage>;
}

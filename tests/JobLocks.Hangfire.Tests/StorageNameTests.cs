using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>A storage keeps its name in the wait queue whatever is done to it, and a copy has another one.</summary>
[TestFixture]
public sealed class StorageNameTests : RealServers
{
    private const string Truncate =
        "TRUNCATE hangfire.job, hangfire.state, hangfire.jobqueue, hangfire.jobparameter, hangfire.set, hangfire.hash, hangfire.list, hangfire.counter CASCADE";

    [Test, CancelAfter(120_000)]
    public async Task Keeps_its_name_when_its_tables_are_truncated_under_a_running_process(CancellationToken stop)
    {
        var stage = NewStage();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        await using var held = await other.TryAcquireAsync(stage.LockName, stop);
        await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var before = await Servers.Locks.AskAsync($"SELECT store FROM joblocks.line WHERE name = '{stage.LockName}'");

        await Servers.Locks.RunAsync(Truncate);
        while (await Servers.Locks.AskAsync("SELECT value FROM hangfire.hash WHERE key = 'joblocks'") is null) await Task.Delay(20, stop);
        var young = HangfireRuns.Of(Servers.Add(new() { UsesJobLocks = false }).Storage).Identify();

        Assert.That(young, Is.EqualTo(before));
    }

    [Test, CancelAfter(60_000)]
    public async Task Runs_what_waits_where_the_line_was_emptied(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var first = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var second = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunInCritical(stage.Id)), stop);

        await Servers.Locks.RunAsync("TRUNCATE joblocks.line");
        await held!.DisposeAsync();

        await Servers.States.NextAsync<SucceededState>(first, stop);
        await Servers.States.NextAsync<SucceededState>(second, stop);
        Assert.That(stage.Runs, Is.EqualTo(2));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_skipped_for_no_run_that_was_deleted_and_enqueued_anew(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunOrJoin(stage.Id, 1)), stop);

        Servers.Client.Delete(waiting);
        var anew = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunOrJoin(stage.Id, 1)), stop);
        await held!.DisposeAsync();

        await Servers.States.NextAsync<SucceededState>(anew, stop);
        Assert.That(stage.Runs, Is.EqualTo(1));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_another_storage_when_a_copy_is_restored_into_another_database(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync($"{nameof(StorageNameTests)}_original", stop);
        await using var original = new HangfireProcess("server-0", database, new() { UsesJobLocks = false }, new AnnouncedStates());
        var name = HangfireRuns.Of(original.Storage).Identify();
        NpgsqlConnection.ClearAllPools();
        var copied = new NpgsqlConnectionStringBuilder(database);
        copied.Database += "_copy";
        await Servers.Locks.RunAsync($"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{new NpgsqlConnectionStringBuilder(database).Database}'");
        await Servers.Locks.RunAsync($"CREATE DATABASE \"{copied.Database}\" TEMPLATE \"{new NpgsqlConnectionStringBuilder(database).Database}\"");

        await using var copy = new HangfireProcess("server-1", copied.ConnectionString, new() { UsesJobLocks = false }, new AnnouncedStates());

        Assert.That(HangfireRuns.Of(copy.Storage).Identify(), Is.Not.EqualTo(name));
    }
}

using Hangfire;
using Hangfire.Common;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>How soon a run starts whose turn has come, where Hangfire itself looks for jobs once a minute.</summary>
[TestFixture]
public sealed class WakeTests : RealServers
{
    private static readonly TimeSpan LongBeforeThePoll = TimeSpan.FromSeconds(20);

    private protected override HangfireSetup Setup => new() { Servers = 1, QueuePollInterval = TimeSpan.FromMinutes(1) };

    [Test, CancelAfter(90_000)]
    public async Task Starts_all_readers_at_once_when_their_lock_is_released(CancellationToken stop)
    {
        var stage = NewStage();
        var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);
        for (var i = 0; i < 3; i++) await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Read(stage.Id, i)), stop);

        await held!.DisposeAsync();

        await stage.EnteredAsync(stop, 3, LongBeforeThePoll);
        stage.LetLeave();
    }

    [Test, CancelAfter(90_000)]
    public async Task Starts_the_runs_of_several_names_at_once_that_are_released_together(CancellationToken stop)
    {
        Stage[] stages = [NewStage(), NewStage(), NewStage()];
        var held = await Servers[0].Locks!.TryAcquireAllAsync(stages.Select(static stage => stage.LockName), stop);
        foreach (var stage in stages) await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);

        await held!.DisposeAsync();

        foreach (var stage in stages)
        {
            await stage.EnteredAsync(stop, atMost: LongBeforeThePoll);
            stage.LetLeave();
        }
    }

    [Test, CancelAfter(90_000)]
    public async Task Has_other_processes_look_when_another_job_took_the_worker_that_was_free(CancellationToken stop)
    {
        var (stage, others) = (NewStage(), NewStage());
        var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);
        // Of two jobs in its queues, a worker takes the one that was created first.
        var earlier = Create(others);
        await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        for (var i = 0; i < Setup.Workers - 1; i++) Servers.Enqueue<WaitingJob>(job => job.Occupy(others.Id));
        await others.EnteredAsync(stop, Setup.Workers - 1);
        await using var listening = new NpgsqlConnection(Servers.Database);
        await listening.OpenAsync(stop);
        var told = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        listening.Notification += (_, news) => { if (news.Payload.StartsWith("0 Hangfire ", StringComparison.Ordinal)) told.TrySetResult(); };
        await using (var listen = new NpgsqlCommand("LISTEN joblocks", listening)) await listen.ExecuteNonQueryAsync(stop);

        await PutIntoQueueAsync(earlier, "default");
        await held!.DisposeAsync();
        while (!told.Task.IsCompleted) await listening.WaitAsync(stop);

        Assert.That((others.Runs, stage.Runs), Is.EqualTo((Setup.Workers, 0)));
        others.LetLeave();
        await stage.EnteredAsync(stop, atMost: LongBeforeThePoll);
        stage.LetLeave();
    }

    [Test, CancelAfter(90_000)]
    public async Task Has_an_idle_worker_look_into_its_queue_when_another_process_asks_for_that(CancellationToken stop)
    {
        // Hangfire.PostgreSql has one event for all queues of one name in a process: other fixtures must not put jobs into this one.
        var queue = $"queue-{Guid.NewGuid():N}";
        // Not the current activator: the container of another fixture may have set it, and be disposed.
        BackgroundJobServerOptions options = new() { ServerName = queue, Queues = [queue], WorkerCount = 1, Activator = new JobActivator() };
        using var server = new BackgroundJobServer(options, Servers[0].Storage);
        var store = HangfireRuns.Of(Servers[0].Storage);
        await Patience.UntilAsync(() => Task.FromResult(store.FreeWorkers.Any(pool => pool.Queues?.Contains(queue, StringComparer.Ordinal) == true)), static isKnown => isKnown, stop);
        var stage = NewStage();

        await PutIntoQueueAsync(Create(stage), queue);
        var runs = await Patience.UntilAsync(
            () =>
            {
                store.RequeryStore();
                return Task.FromResult(stage.Runs);
            },
            static runs => runs == 1,
            stop,
            LongBeforeThePoll);

        Assert.That(runs, Is.EqualTo(1));
        stage.LetLeave();
    }

    private string Create(Stage stage) => Servers.Client.Create(Job.FromExpression<WaitingJob>(job => job.Occupy(stage.Id)), new ScheduledState(TimeSpan.FromHours(1)));

    /// <summary>As another process does: the workers of this one are told nothing.</summary>
    private Task PutIntoQueueAsync(string job, string queue) => Servers.Locks.RunAsync($"INSERT INTO hangfire.jobqueue (jobid, queue) VALUES ({job}, '{queue}')");
}

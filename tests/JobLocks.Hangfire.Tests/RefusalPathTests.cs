using Hangfire;
using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>The ways on which a run that was put off could be lost: filters that throw, a storage that refuses its new state, servers with filters of their own.</summary>
[TestFixture]
public sealed class RefusalPathTests : RealServers
{
    private const string RefuseOnce =
        """
        CREATE SEQUENCE refusals;
        CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF pg_catalog.nextval('refusals'::pg_catalog.regclass) OPERATOR(pg_catalog.<=) TG_ARGV[0]::pg_catalog.int8 THEN RAISE 'not now'; END IF;
            RETURN NEW;
        END $$;
        """;

    private readonly LogJournal _log = new();

    private protected override HangfireSetup Setup => new() { Loggers = _log };

    [OneTimeTearDown]
    public void End() => _log.Dispose();

    [TestCase(nameof(Throwing.Wait))]
    [TestCase(nameof(Throwing.Reschedule))]
    [CancelAfter(60_000)]
    public async Task Comes_later_although_another_filter_throws_at_the_end_of_the_canceled_run(string method, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var id = Servers.Client.Create(new Job(typeof(Throwing), typeof(Throwing).GetMethod(method), (object[])[stage.Id]), new EnqueuedState());
        await Servers.StoredAsync(id, ScheduledState.StateName, stop);
        await _log.NextAsync($"Job {id} waits as decided, although another filter threw", stop);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(Servers.Parameter(id, "RetryCount"), Is.Null);
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    // The first try is the filter's; the others are the worker's, which elects the state again each time.
    [TestCase(1)]
    [TestCase(3)]
    [CancelAfter(60_000)]
    public async Task Comes_later_although_the_storage_refuses_its_state_for_a_while(int times, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        await Servers.Locks.RunAsync(RefuseOnce);
        await Servers.Locks.RunAsync($"CREATE TRIGGER refuse_once BEFORE INSERT ON hangfire.state FOR EACH ROW WHEN (NEW.name = 'Scheduled') EXECUTE FUNCTION refuse_once({times})");
        try
        {
            var id = Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id));
            await Servers.StoredAsync(id, ScheduledState.StateName, stop);
            await held!.DisposeAsync();
            await Servers.StoredAsync(id, SucceededState.StateName, stop);
        }
        finally
        {
            await Servers.Locks.RunAsync("DROP FUNCTION refuse_once CASCADE");
            await Servers.Locks.RunAsync("DROP SEQUENCE refusals");
        }

        Assert.That(stage.Runs, Is.EqualTo(1));
        Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
    }

    [Test, CancelAfter(60_000)]
    public async Task Waits_on_a_server_whose_filter_providers_are_not_Hangfires(CancellationToken stop)
    {
        await using var servers = HangfireServers.Start(
            await AssemblySetup.Server.CreateDatabaseAsync("own_providers", stop), new() { HasOwnProviders = true, Servers = 1 });
        foreach (var method in new[] { nameof(OrderedJob.Wait), nameof(OrderedJob.Reschedule) })
        {
            var stage = NewStage();
            stage.LetLeave();
            var held = await servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);

            var id = servers.Client.Create(new Job(typeof(OrderedJob), typeof(OrderedJob).GetMethod(method), (object[])[stage.Id]), new EnqueuedState());
            await servers.StoredAsync(id, ScheduledState.StateName, stop);
            await held!.DisposeAsync();
            await servers.States.NextAsync<SucceededState>(id, stop);

            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }

    [ThrowsWhenCanceled, AutomaticRetry(Attempts = 0)]
    public class Throwing
    {
        [JobLock("sync({stage})")]
        public Task Wait(string stage) => Stage.Of(stage).PlayAsync();

        [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
        public Task Reschedule(string stage) => Stage.Of(stage).PlayAsync();
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class ThrowsWhenCanceledAttribute : JobFilterAttribute, IServerFilter
    {
        public void OnPerforming(PerformingContext context)
        {
            // It is about the end.
        }

        public void OnPerformed(PerformedContext context)
        {
            if (context.Canceled) throw new InvalidOperationException("A filter of somebody else.");
        }
    }
}

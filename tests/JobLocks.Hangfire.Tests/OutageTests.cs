using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using JobLocks.Testing.Postgres;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>The server of jobs and locks breaks down while runs hold locks. Has a server of its own to break.</summary>
[TestFixture]
public sealed class OutageTests : RealServers
{
    private PostgresServer? _server;

    private PostgresServer Server => _server!;

    // By default Hangfire itself needs up to ten minutes for its locks on jobs, and half an hour for jobs that were just fetched.
    private protected override HangfireSetup Setup => new() { RecoversAfter = TimeSpan.FromSeconds(5) };

    private protected override async Task<HangfireServers> StartAsync()
    {
        _server = await PostgresServer.StartOwnAsync();
        return HangfireServers.Start(await _server.CreateDatabaseAsync("outage"), Setup);
    }

    private protected override async ValueTask StoppedAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
    }

    [Test, CancelAfter(180_000)]
    public async Task Tells_the_holder_before_another_one_enters_and_runs_all_that_waited(CancellationToken stop)
    {
        var stage = NewStage();
        var first = Servers.EnqueueFor<Sturdy>(Servers[0], job => job.RunOn(stage.Id));
        var held = await stage.EnteredAsync(stop);
        string[] others = [.. Enumerable.Range(0, 4).Select(i => Servers.EnqueueFor<Sturdy>(Servers[i % 2], job => job.Run(stage.Id)))];
        foreach (var id in others) await Servers.States.NextAsync<ScheduledState>(id, stop);

        await Server.StopAsync(immediate: true, stop);
        await stage.LeftAsync(stop);
        var toldFirst = held.Handle!.Lost.IsCancellationRequested;
        await Server.StartAgainAsync(stop);
        var second = await stage.EnteredAsync(stop, nth: 2, Patience.AfterOutage);
        stage.LetLeave();
        string[] all = [first, .. others];
        var ends = await Task.WhenAll(all.Select(id => Servers.StoredAsync(id, SucceededState.StateName, stop, Patience.AfterOutage)));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(toldFirst, Is.True);
            Assert.That(second.Handle!.Holder.Application, Is.EqualTo("server-1"), "in the first server's process, the run that lost its lock was still at work");
            Assert.That(
                ends.Select(static end => end.History[0].StateName), Is.All.EqualTo(SucceededState.StateName), () => string.Join('\n', all.Select(DescribeStored)));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            Assert.That(stage.Runs, Is.InRange(5, all.Sum(id => Servers.States.Of(id).OfType<ProcessingState>().Count())));
        }
    }

    [Test, CancelAfter(180_000)]
    public async Task Runs_again_what_heeded_the_loss(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<Sturdy>(job => job.RunWhileLocked(stage.Id));
        var lost = await stage.EnteredAsync(stop);

        await Server.RestartAsync(immediate: true, stop);
        await stage.LeftAsync(stop);
        stage.LetLeave();
        var end = await Servers.StoredAsync(id, SucceededState.StateName, stop, Patience.AfterOutage);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.History[0].StateName, Is.EqualTo(SucceededState.StateName));
            Assert.That(lost.Handle!.Lost.IsCancellationRequested, Is.True);
            // By Hangfire's retry, or by a second fetch where even the failure could not be stored.
            Assert.That(stage.Runs, Is.InRange(2, Servers.States.Of(id).OfType<ProcessingState>().Count()));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
        }
    }

    private string DescribeStored(string jobId)
    {
        using var connection = Servers[0].OpenConnection();
        using var command = new NpgsqlCommand(
            """
            SELECT concat(
                   'Job ', j.id, ' is ', j.statename,
                   '; in queues: ', (SELECT string_agg(concat(q.queue, ' fetched at ', q.fetchedat), ', ') FROM hangfire.jobqueue q WHERE q.jobid = j.id),
                   '; due at ', (SELECT string_agg(to_timestamp(s.score)::text, ', ') FROM hangfire.set s WHERE s.key = 'schedule' AND s.value LIKE '%' || j.id),
                   '; locked by Hangfire: ', (SELECT string_agg(concat(k.resource, ' at ', k.acquired), ', ') FROM hangfire.lock k))
            FROM   hangfire.job j
            WHERE  j.id = $1::bigint
            """,
            connection)
        { Parameters = { new() { Value = jobId } } };
        return $"{command.ExecuteScalar()}; was {string.Join(", ", Servers.States.Of(jobId).Select(static state => $"{state.Name}: {state.Reason}"))}";
    }

    /// <summary>Hangfire's own filters ask the broken store too, and what fails for that is retried: soon, for a test.</summary>
    [AutomaticRetry(DelaysInSeconds = [1])]
    public class Sturdy
    {
        [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
        public Task Run(string stage) => Stage.Of(stage).PlayAsync();

        [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
        public Task RunOn(string stage) => Stage.Of(stage).PlayOnAsync();

        [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
        public Task RunWhileLocked(string stage) => Stage.Of(stage).PlayWhileLockedAsync();
    }
}

using System.Globalization;
using Hangfire;
using Hangfire.Client;
using Hangfire.Common;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>What reacts in Hangfire to a run itself, its data and its trigger: filters, activators, parameters, culture, queues, recurring jobs, workers.</summary>
[TestFixture]
public sealed class MechanismsOfRunsTests : Mechanisms
{
    private const string Wait = nameof(MechanismJob.Wait);
    private const string Reschedule = nameof(MechanismJob.Reschedule);

    private readonly Creations _creations = new();

    private protected override HangfireSetup Setup => base.Setup with { Filters = _creations };

    [TestCase(Wait), TestCase(Reschedule), CancelAfter(60_000)]
    public async Task Client_filters_see_the_job_made_once(string method, CancellationToken stop)
    {
        var before = _creations.Seen.Entries.Count;
        var (id, _) = await PutOffAsync(method, static _ => Task.CompletedTask, stop);
        await Servers.StoredAsync(id, SucceededState.StateName, stop);

        Assert.That(_creations.Seen.Entries.Skip(before), Is.EqualTo(["creating", "created"]));
    }

    [TestCase(Wait), TestCase(Reschedule), CancelAfter(60_000)]
    public async Task The_activator_makes_the_job_only_when_it_runs(string method, CancellationToken stop)
    {
        var before = Servers[0].Activations;
        var meanwhile = -1;
        var (id, _) = await PutOffAsync(
            method,
            _ =>
            {
                meanwhile = Servers[0].Activations;
                return Task.CompletedTask;
            },
            stop);
        await Servers.StoredAsync(id, SucceededState.StateName, stop);

        Assert.That((meanwhile - before, Servers[0].Activations - before), Is.EqualTo((0, 1)));
    }

    [TestCase(nameof(MechanismJob.WaitAndLook)), TestCase(nameof(MechanismJob.RescheduleAndLook)), CancelAfter(60_000)]
    public async Task The_run_finds_its_own_id_time_culture_and_parameters(string method, CancellationToken stop)
    {
        var culture = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo("tr-TR");
        try
        {
            var created = default(DateTime);
            var (id, _) = await PutOffAsync(
                method,
                id =>
                {
                    created = Details(id).CreatedAt!.Value;
                    using var connection = Servers[0].Storage.GetConnection();
                    connection.SetJobParameter(id, "Theirs", "\"kept\"");
                    return Task.CompletedTask;
                },
                stop);
            var end = await Servers.StoredAsync(id, SucceededState.StateName, stop);

            Assert.That(end.History[0].Data["Result"].Trim('"'), Is.EqualTo(string.Create(CultureInfo.InvariantCulture, $"{id} {created:O} tr-TR kept True")));
        }
        finally
        {
            CultureInfo.CurrentCulture = culture;
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task The_attribute_Queue_still_holds(CancellationToken stop)
    {
        var (id, _) = await PutOffAsync(nameof(MechanismJob.WaitInCritical), static _ => Task.CompletedTask, stop);
        var end = await Servers.StoredAsync(id, SucceededState.StateName, stop);

        Assert.That(end.History.Where(static state => state.Data.ContainsKey("Queue")).Select(static state => state.Data["Queue"]), Has.All.EqualTo("critical"));
    }

    [TestCase(Wait), TestCase(Reschedule), CancelAfter(60_000)]
    public async Task Its_worker_and_its_queue_are_free_meanwhile(string method, CancellationToken stop)
    {
        var (id, _) = await PutOffAsync(
            method,
            async _ => Assert.That(
                await Patience.UntilAsync(
                    async () => ((long)(await Servers.Locks.AskAsync("SELECT count(*) FROM hangfire.jobqueue"))!, Statistics.Processing),
                    static busy => busy == (0L, 0L),
                    stop),
                Is.EqualTo((0L, 0L))),
            stop);
        await Servers.StoredAsync(id, SucceededState.StateName, stop);
    }

    [TestCase(Wait), TestCase(Reschedule), CancelAfter(60_000)]
    public async Task A_recurring_job_shows_the_state_of_the_same_occurrence(string method, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);
        Servers[0].Recurring.AddOrUpdate(
            stage.Id,
            new Job(typeof(MechanismJob), typeof(MechanismJob).GetMethod(method), (object[])[stage.Id]),
            Cron.Yearly(),
            new() { MisfireHandling = MisfireHandlingMode.Strict });
        try
        {
            var id = Servers[0].Recurring.TriggerJob(stage.Id);
            await Servers.StoredAsync(id, ScheduledState.StateName, stop);
            var meanwhile = Recurring(stage);
            await held!.DisposeAsync();
            await Servers.StoredAsync(id, SucceededState.StateName, stop);
            var after = Recurring(stage);

            using (Assert.EnterMultipleScope())
            {
                Assert.That((meanwhile.LastJobId, meanwhile.LastJobState), Is.EqualTo((id, ScheduledState.StateName)));
                Assert.That((after.LastJobId, after.LastJobState), Is.EqualTo((id, SucceededState.StateName)));
                Assert.That((after.LastExecution, after.NextExecution), Is.EqualTo((meanwhile.LastExecution, meanwhile.NextExecution)));
                Assert.That(stage.Runs, Is.EqualTo(1));
            }
        }
        finally
        {
            Servers[0].Recurring.RemoveIfExists(stage.Id);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task A_missed_schedule_is_caught_up_by_Hangfires_rules_while_the_occurrence_waits(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);
        Servers[0].Recurring.AddOrUpdate(
            stage.Id, new Job(typeof(MechanismJob), typeof(MechanismJob).GetMethod(Wait), (object[])[stage.Id]), "* * * * * *", new() { MisfireHandling = MisfireHandlingMode.Ignorable });
        try
        {
            // Each occurrence is a job of its own, which waits in line after the one before.
            await Patience.UntilAsync(Servers.Locks.LineAsync, static line => line.Count >= 2, stop);
            Servers[0].Recurring.RemoveIfExists(stage.Id);
            await held!.DisposeAsync();
            await Servers.Locks.LineAtLastAsync(stop);
            await stage.LeftAsync(stop, nth: 2);
        }
        finally
        {
            Servers[0].Recurring.RemoveIfExists(stage.Id);
        }

        Assert.That(stage.MostAtOnce, Is.EqualTo(1));
    }

    [TestCase(Wait), TestCase(Reschedule), CancelAfter(60_000)]
    public async Task A_person_may_delete_the_run_or_start_it(string method, CancellationToken stop)
    {
        var (id, stage) = await PutOffAsync(
            method,
            async id =>
            {
                Assert.That(Servers.Client.Delete(id), Is.True);
                await Servers.StoredAsync(id, DeletedState.StateName, stop);
                // It may have been enqueued just before it was deleted, and Hangfire performs a job for each time that it stands in a queue.
                await InNoQueueAsync(id, stop);
                Assert.That(Servers.Client.Requeue(id), Is.True);
                await Servers.StoredAsync(id, ScheduledState.StateName, stop);
            },
            stop);
        await Servers.StoredAsync(id, SucceededState.StateName, stop);

        Assert.That(stage.Runs, Is.EqualTo(1));
        Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
    }

    private Task<long> InNoQueueAsync(string id, CancellationToken stop) => Patience.UntilAsync(
        async () => (long)(await Servers.Locks.AskAsync("SELECT count(*) FROM hangfire.jobqueue WHERE jobid = $1", long.Parse(id, CultureInfo.InvariantCulture)))!,
        static rows => rows == 0,
        stop);

    private RecurringJobDto Recurring(Stage stage)
    {
        using var connection = Servers[0].Storage.GetConnection();
        return connection.GetRecurringJobs([stage.Id])[0];
    }

    /// <summary>What a client filter of somebody else, and one for its exceptions, see.</summary>
    private sealed class Creations : IJobFilterProvider, IClientFilter, IClientExceptionFilter
    {
        public Journal<string> Seen { get; } = new();

        public IEnumerable<JobFilter> GetFilters(Job job) => [new(this, JobFilterScope.Global, order: null)];

        public void OnCreating(CreatingContext context) => Seen.Add("creating");

        public void OnCreated(CreatedContext context) => Seen.Add("created");

        public void OnClientException(ClientExceptionContext context) => Seen.Add("exception");
    }
}

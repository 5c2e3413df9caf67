using System.Globalization;
using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>The stores turn some types into others; a lock name must not notice.</summary>
public sealed class NameTests : QuartzFixture
{
    private static readonly Dictionary<string, object?> EveryType = new(StringComparer.Ordinal)
    {
        ["int"] = 4,
        ["long"] = 5L,
        ["big"] = 5_000_000_000L,
        ["decimal"] = 1.10m,
        ["double"] = 1.5,
        ["whole"] = 2.0,
        ["float"] = 0.1f,
        ["guid"] = Guid.Parse("6f9619ff-8b86-d011-b42d-00cf4fc964ff", CultureInfo.InvariantCulture),
        ["utc"] = new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc),
        ["offset"] = new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.FromHours(2)),
        ["day"] = new DateOnly(2026, 1, 2),
        ["span"] = TimeSpan.FromMinutes(5),
        ["enum"] = DayOfWeek.Friday,
        ["bool"] = true,
        ["char"] = 'x',
        ["text"] = "a \"b\" {c}",
        ["datelike"] = "2026-01-02T03:04:05Z",
        ["null"] = null,
    };

    [Test]
    public async Task Has_the_same_default_name_from_every_store()
    {
        var inMemory = await NameFromAsync(Store.Ram);
        var inDatabase = await NameFromAsync(Store.Ado);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(inDatabase, Is.EqualTo(inMemory));
            Assert.That(inMemory, Does.StartWith(typeof(CanonicalJob).FullName + "(").And.Contain("decimal:1.1,").And.Contain("whole:2)"));
            Assert.That(inMemory, Does.Not.Contain("QRTZ_").And.Not.Contain("JOBLOCKS_"));
        }

        async Task<string?> NameFromAsync(Store store)
        {
            var node = await StartNodeAsync(store);
            await node.RunAsync<CanonicalJob>(Scene, static trigger => trigger.UsingJobData(new JobDataMap(EveryType)));
            return (await Scene.NextRunAsync()).Handle?.Name;
        }
    }

    [Test]
    public async Task Has_the_same_default_name_for_an_input_from_every_store_and_call()
    {
        var names = new List<string?>();
        foreach (var store in new[] { Store.Ram, Store.Ado })
        {
            var node = await StartNodeAsync(store);
            var input = new JobInput(Scene.Id, 1.10m);
            await node.RunAsync<CanonicalInputJob>(trigger => trigger.UsingInput(input));
            names.Add((await Scene.NextRunAsync()).Handle?.Name);
            await node.Scheduler.ScheduleJob<CanonicalInputJob, JobInput>(input, TimeSpan.Zero);
            names.Add((await Scene.NextRunAsync()).Handle?.Name);
        }

        Assert.That(names, Is.All.EqualTo($"{typeof(CanonicalInputJob).FullName}(input:{{Amount:1.1,Scene:{Scene.Id}}})"));
    }

    [Test]
    public async Task Reaches_the_properties_of_an_input([Values] Store store)
    {
        var node = await StartNodeAsync(store);

        await node.RunAsync<InputJob>(trigger => trigger.UsingInput(new JobInput(Scene.Id, 2m)));

        Assert.That((await Scene.NextRunAsync()).Handle?.Name, Is.EqualTo($"scene({Scene.Id}).2"));
    }

    [Test]
    public async Task Knows_nothing_of_how_a_run_was_triggered([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var key = new JobKey(Guid.NewGuid().ToString("N"));
        await node.Scheduler.AddJob(JobBuilder.Create<CanonicalJob>().WithIdentity(key).StoreDurably().UsingJobData(Scene.Key, Scene.Id).Build());

        await node.Scheduler.TriggerJob(key);
        var byHand = await Scene.NextRunAsync();
        await node.RunAsync<CanonicalJob>(Scene, static trigger => trigger.WithJobLock("other({scene})"));
        var byTrigger = await Scene.NextRunAsync();

        Assert.That(byTrigger.Handle?.Name, Is.EqualTo(byHand.Handle?.Name).And.EqualTo($"{typeof(CanonicalJob).FullName}(scene:{Scene.Id})"));
    }

    [Test]
    public async Task Works_with_a_store_that_keeps_texts_only()
    {
        var node = await StartNodeAsync(Store.Ado, static node => node with { KeepsTextsOnly = true });
        var others = await OthersHoldAsync();

        await node.RunAsync<PlainJob>(Scene, static trigger => trigger.WithJobLock("scene({scene})", OnConflict.Reschedule, retryAfterSeconds: 1).UsingJobData(DataKeys.StartedBefore, "true"));
        var next = await node.Told.NextPutBackAsync();
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(next.JobDataMap[DataKeys.StartedBefore], Is.EqualTo("true"));
            Assert.That(run.Handle?.Name, Is.EqualTo(Scene.LockName));
        }
    }
}

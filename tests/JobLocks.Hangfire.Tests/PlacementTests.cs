using System.Linq.Expressions;
using Hangfire.Common;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>Where the attribute may stand.</summary>
[TestFixture]
public sealed class PlacementTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Filters = new LocksOf<Unmarked>("sync({stage})", "also({stage})") };

    [Test, CancelAfter(60_000)]
    public Task Counts_on_the_class(CancellationToken stop) => SkipsTheSecondAsync<OnClass>(static stage => job => job.Run(stage), stop);

    [Test, CancelAfter(60_000)]
    public Task Counts_on_a_base_class(CancellationToken stop) => SkipsTheSecondAsync<BelowOnClass>(static stage => job => job.Run(stage), stop);

    [Test, CancelAfter(60_000)]
    public Task Counts_on_a_method_that_was_overridden(CancellationToken stop) => SkipsTheSecondAsync<Overriding>(static stage => job => job.Run(stage), stop);

    [Test, CancelAfter(60_000)]
    public Task Counts_on_the_interface_that_was_enqueued(CancellationToken stop)
    {
        Servers[0].Activate<IOnInterface, BehindInterface>();
        return SkipsTheSecondAsync<IOnInterface>(static stage => job => job.Run(stage), stop);
    }

    [Test, CancelAfter(60_000)]
    public Task Counts_on_the_method_of_the_interface_that_was_enqueued(CancellationToken stop)
    {
        Servers[0].Activate<IOnInterfaceMethod, BehindInterface>();
        return SkipsTheSecondAsync<IOnInterfaceMethod>(static stage => job => job.Run(stage), stop);
    }

    [Test, CancelAfter(60_000)]
    public async Task Holds_the_lock_of_the_class_and_the_lock_of_the_method(CancellationToken stop)
    {
        var stage = NewStage();

        Servers.EnqueueFor<OnBoth>(Servers[0], job => job.Run(stage.Id));
        await stage.EnteredAsync(stop);
        var held = await Servers.Locks.HeldAsync();
        stage.LetLeave();
        await stage.LeftAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held, Is.EquivalentTo([stage.Key, LockKey.Of($"also({stage.Id})")]));
            Assert.That(await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop), Is.True);
            Assert.That(await Servers.Locks.IsFreeAtLastAsync($"also({stage.Id})", stop), Is.True);
        }
    }

    [TestCase("sync")]
    [TestCase("also")]
    [CancelAfter(60_000)]
    public async Task Is_refused_when_either_lock_is_taken_and_keeps_none(string taken, CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync($"{taken}({stage.Id})", stop);

        var refused = Servers.EnqueueFor<OnBoth>(Servers[0], job => job.Run(stage.Id));
        var end = await Servers.States.NextAsync<DeletedState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Reason, Does.StartWith($"Skipped: {taken}({stage.Id}) is held by "));
            Assert.That(stage.Runs, Is.Zero);
            Assert.That(await Servers.Locks.HeldAsync(), Is.EqualTo([held!.Key]));
        }
    }

    [TestCase("sync")]
    [TestCase("also")]
    [CancelAfter(60_000)]
    public async Task Counts_on_filters_that_a_provider_of_the_server_adds(string taken, CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync($"{taken}({stage.Id})", stop);

        var refused = Servers.EnqueueFor<Unmarked>(Servers[0], job => job.Run(stage.Id));

        await IsSkippedAsync(refused, stage, stop, runs: 0);
    }

    [Test, CancelAfter(60_000)]
    public async Task Holds_every_lock_that_a_provider_of_the_server_adds(CancellationToken stop)
    {
        var stage = NewStage();

        Servers.EnqueueFor<Unmarked>(Servers[0], job => job.Run(stage.Id));
        await stage.EnteredAsync(stop);
        var held = await Servers.Locks.HeldAsync();
        stage.LetLeave();
        await stage.LeftAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held, Is.EquivalentTo([stage.Key, LockKey.Of($"also({stage.Id})")]));
            Assert.That(await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop), Is.True);
            Assert.That(await Servers.Locks.IsFreeAtLastAsync($"also({stage.Id})", stop), Is.True);
        }
    }

    /// <summary>Enqueues a job for each server. The second one is skipped while the first one runs.</summary>
    private async Task SkipsTheSecondAsync<T>(Func<string, Expression<Func<T, Task>>> callOf, CancellationToken stop)
    {
        var stage = NewStage();
        Servers.EnqueueFor(Servers[0], callOf(stage.Id));
        await stage.EnteredAsync(stop);

        var refused = Servers.EnqueueFor(Servers[1], callOf(stage.Id));

        await IsSkippedAsync(refused, stage, stop);
    }

    private async Task IsSkippedAsync(string refused, Stage stage, CancellationToken stop, int runs = 1)
    {
        var end = await Servers.States.NextAsync<DeletedState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Reason, Does.StartWith("Skipped: "));
            Assert.That(stage.Runs, Is.EqualTo(runs));
        }
    }

    [JobLock("sync({stage})", OnConflict = OnConflict.Skip)]
    public class OnClass
    {
        public Task Run(string stage) => Stage.Of(stage).PlayAsync();
    }

    public class BelowOnClass : OnClass;

    public class Overridden
    {
        [JobLock("sync({stage})", OnConflict = OnConflict.Skip)]
        public virtual Task Run(string stage) => throw new InvalidOperationException("The other one was to be called.");
    }

    public class Overriding : Overridden
    {
        public override Task Run(string stage) => Stage.Of(stage).PlayAsync();
    }

    [JobLock("sync({stage})", OnConflict = OnConflict.Skip)]
    public interface IOnInterface
    {
        Task Run(string stage);
    }

    public interface IOnInterfaceMethod
    {
        [JobLock("sync({stage})", OnConflict = OnConflict.Skip)]
        Task Run(string stage);
    }

    public class BehindInterface : IOnInterface, IOnInterfaceMethod
    {
        public Task Run(string stage) => Stage.Of(stage).PlayAsync();
    }

    [JobLock("sync({stage})", OnConflict = OnConflict.Skip)]
    public class OnBoth
    {
        [JobLock("also({stage})", OnConflict = OnConflict.Skip)]
        public Task Run(string stage) => Stage.Of(stage).PlayAsync();
    }

    public class Unmarked
    {
        public Task Run(string stage) => Stage.Of(stage).PlayAsync();
    }

    /// <summary>Locks the jobs of a class that one cannot put an attribute on.</summary>
    private sealed class LocksOf<T>(params string[] names) : IJobFilterProvider
    {
        private readonly JobFilter[] _filters =
            [.. names.Select(static name => new JobFilter(new JobLockAttribute(name) { OnConflict = OnConflict.Skip }, JobFilterScope.Global, order: null))];

        public IEnumerable<JobFilter> GetFilters(Job job) => job.Type == typeof(T) ? _filters : [];
    }
}

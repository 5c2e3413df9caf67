using JobLocks.Gate;
using JobLocks.Postgres.Reading;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Inspection;

/// <summary>Runs of several stores, which may have the same names.</summary>
[TestFixture, CancelAfter(30_000)]
public sealed class StoreTests
{
    private string _database = "";
    private AdvisoryLocks _locks = null!;
    private AdvisoryLocks _looking = null!;

    private LockInspector Looking => (LockInspector)_looking.Inspector;

    [SetUp]
    public async Task Connect()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("stores");
        (_locks, _looking) = (AdvisoryLocks.Connect(_database), AdvisoryLocks.Connect(_database));
    }

    [TearDown]
    public async Task Close()
    {
        await _locks.DisposeAsync();
        await _looking.DisposeAsync();
    }

    [Test]
    public async Task Tells_of_a_run_only_what_it_has_itself(CancellationToken stop)
    {
        using var ours = await HoldAsync("order:1", "Hangfire job 7", "Hangfire a", stop);
        using var quartz = await HoldAsync("order:2", "Quartz job DEFAULT.nightly job 55", "Quartz b", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Looking.ExplainAsync("7", "Hangfire a", stop), Does.StartWith("holds order:1 since"));
            Assert.That(await Looking.ExplainAsync("7", stop), Does.StartWith("holds order:1 since"));
            Assert.That(await Looking.ExplainAsync("7", "Hangfire other", stop), Is.Null, "the job 7 of another storage");
            Assert.That(await Looking.ExplainAsync("55", stop), Is.Null, "the job is called so, and no run");
            Assert.That((await Looking.FindAsync("55", stop)).Select(static match => match.Name), Does.Not.Contain("order:2"));
            Assert.That(await Looking.ExplainAsync("DEFAULT.nightly job 55", "Quartz b", stop), Does.StartWith("holds order:2 since"));
            Assert.That((await Looking.GetHeldAsync(stop: stop)).Items.Select(static one => one.Holder.Store), Is.EquivalentTo(["Hangfire a", "Quartz b"]));
        }
    }

    [Test]
    public async Task Writes_down_the_store_of_a_run_that_the_gate_lets_in(CancellationToken stop)
    {
        var call = Calls.Call("{0}", ("name", "order:1")) with { JobId = "7", Store = static () => "Test a" };
        using var admitted = (Admission.Admitted)await JobGate.To(_locks).TryEnterAsync(call, stop);

        while (await Looking.ExplainAsync("7", "Test a", stop) is null) stop.ThrowIfCancellationRequested();

        Assert.That((await _locks.Inspector.GetHeldAsync(stop: stop)).Items.Single().Holder.Store, Is.EqualTo("Test a"));
    }

    [Test]
    public async Task Brings_a_schema_of_before_up_to_date(CancellationToken stop)
    {
        await (await _locks.TryAcquireAsync("order:1", stop))!.DisposeAsync();
        await LockTable.AskAsync(_database, "ALTER TABLE joblocks.holders DROP COLUMN store");
        await LockTable.AskAsync(_database, "COMMENT ON SCHEMA joblocks IS 'Concurrency of jobs, made by JobLocks. Schema version 3'");

        await using var fresh = AdvisoryLocks.Connect(_database);
        await using var held = await fresh.TryAcquireAsync("order:1", stop);

        Assert.That(await LockTable.AskAsync(_database, "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'joblocks' AND table_name = 'holders' AND column_name = 'store'"), Is.EqualTo(1L));
    }

    private async Task<JobLockHandle> HoldAsync(string name, string run, string store, CancellationToken stop)
    {
        var taken = await ((ILockBackend)_locks).TryAcquireAllAsync([new(name, LockKey.Of(name))], new() { Run = run, Store = store }, entry: null, blocks: false, stop);
        while ((await Looking.GetHeldAsync(stop: stop)).Items.All(one => !string.Equals(one.Holder.Run, run, StringComparison.Ordinal))) stop.ThrowIfCancellationRequested();
        return taken.Handles[0];
    }
}

using JobLocks.Tests.Support;

namespace JobLocks.Tests.Postgres;

[TestFixture]
public sealed class TwoProcessesTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private string _database = "";
    private AdvisoryLocks _locks = null!;
    private string _name = "";

    [OneTimeSetUp]
    public async Task CreateDatabase() => _database = await AssemblySetup.Server.CreateDatabaseAsync("two_processes");

    [SetUp]
    public void Connect()
    {
        _locks = AdvisoryLocks.Connect(_database);
        _name = $"sync({Guid.NewGuid():N})";
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        await _locks.DisposeAsync();

        Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Refuses_a_name_until_the_other_process_releases_it(CancellationToken stop)
    {
        using var other = OtherProcess.Start(_database, _name);
        Assert.That(await other.SaysAsync(stop), Is.EqualTo("held"));
        Assert.That(await _locks.TryAcquireAsync(_name, stop), Is.Null);

        await other.GoOnAsync();
        Assert.That(await other.SaysAsync(stop), Is.EqualTo("released"));

        // The other process did not wait for the server when it let go.
        await using var handle = await _locks.AcquireAsync(_name, Patience, stop);
        Assert.That(handle.Lost.IsCancellationRequested, Is.False);
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_refused_in_the_other_process_too(CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync(_name, stop);

        using var other = OtherProcess.Start(_database, _name);

        Assert.That(await other.SaysAsync(stop), Is.EqualTo("refused"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Names_the_other_process_as_the_holder(CancellationToken stop)
    {
        using var other = OtherProcess.Start(_database, _name);
        await other.SaysAsync(stop);

        var error = await Assert.ThrowsAsync<TimeoutException>(() => _locks.AcquireAsync(_name, TimeSpan.Zero, stop));

        Assert.That(error!.Message, Does.Contain($"JobLocks.Tests@{Environment.MachineName}:{other.Id} (backend "));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_free_after_the_holder_was_killed(CancellationToken stop)
    {
        using var other = OtherProcess.Start(_database, _name);
        Assert.That(await other.SaysAsync(stop), Is.EqualTo("held"));
        Assert.That(await _locks.TryAcquireAsync(_name, stop), Is.Null);

        await other.KillAsync(stop);

        await using var handle = await _locks.AcquireAsync(_name, Patience, stop);
        Assert.That(handle.Key, Is.EqualTo(LockKey.Of(_name)));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_free_after_the_holder_died_of_an_exception(CancellationToken stop)
    {
        using var other = OtherProcess.Start(_database, _name, end: "throw");
        Assert.That(await other.SaysAsync(stop), Is.EqualTo("held"));

        await other.GoOnAsync();
        await other.EndAsync(stop);

        await using var handle = await _locks.AcquireAsync(_name, Patience, stop);
        Assert.That(handle.Key, Is.EqualTo(LockKey.Of(_name)));
    }
}

using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>Somebody releases locks on our own session: a pooler that resets it, or a person who means well.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class InterferenceTests
{
    private static readonly Holder Run = new() { Run = "a run of a test" };

    [Test]
    public async Task Gives_up_a_session_whose_locks_were_released_from_outside(CancellationToken stop)
    {
        using var log = new LogLines();
        var options = new JobLocksOptions();
        await using var source = NpgsqlDataSource.Create(await AssemblySetup.Server.CreateDatabaseAsync("interference", stop));
        await using var dispatcher = new LockDispatcher(new(source, options, log), options, TimeProvider.System, log);
        var first = await TakeAsync(dispatcher, "first", stop);
        var second = await TakeAsync(dispatcher, "second", stop);
        var told = second.WhenLost();
        await dispatcher.QueryAsync(static session => new NpgsqlCommand("SELECT pg_advisory_unlock_all()", session.Connection).ExecuteNonQuery()).WaitAsync(stop);

        first.Dispose();

        await told.WaitAsync(stop);
        second.Dispose();
        var again = await TakeAsync(dispatcher, "second", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(first.Lost.IsCancellationRequested, Is.True);
            Assert.That(again.Lost.IsCancellationRequested, Is.False);
            Assert.That(log.Text, Does.Contain("its locks were released from outside"));
        }

        again.Dispose();
    }

    private static async Task<JobLockHandle> TakeAsync(LockDispatcher dispatcher, string name, CancellationToken stop)
    {
        var acquire = dispatcher.AddRequest([new(name, LockKey.Of(name))], Run, waits: false, EntryLimit.Newcomer, entry: null, stack: null, mayBlock: false);
        await acquire.Answer.WaitAsync(stop);
        return new(acquire.Grants[0]!);
    }
}

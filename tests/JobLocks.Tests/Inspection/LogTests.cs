using JobLocks.Gate;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Tests.Inspection;

/// <summary>What is logged.</summary>
[TestFixture]
public sealed class LogTests
{
    private const string Hostile = "order:\n2026-01-01 Error all is lost\r\u202E\u2028\0";

    private static readonly string[] Expected = ["is admitted under", " waits for ", "is refused under", "requests the release of the lock", "requested the release of the lock", "are not from JobLocks"];

    [Test, CancelAfter(60_000)]
    public async Task Keeps_to_one_line_whatever_a_lock_name_a_run_or_somebody_who_asks_says(CancellationToken stop)
    {
        using var log = new LogLines();
        var database = await AssemblySetup.Server.CreateDatabaseAsync("hostile", stop);
        await using var locks = AdvisoryLocks.Connect(database, loggers: log);
        var gate = JobGate.To(locks, log);
        var call = Calls.Call("{0}", ("name", Hostile)) with { JobId = Hostile };

        var admitted = (Admission.Admitted)await gate.TryEnterAsync(call, stop);
        var waits = (Admission.Waits)await gate.TryEnterAsync(call with { Address = static _ => new RunAddress("Test store", "1", "") }, stop);
        var refused = (Admission.Refused)await gate.TryEnterAsync(call with { JobId = "1", Rules = [LockRule.For(new("{0}", OnConflict.Fail, 15), call.Job)] }, stop);
        var lost = admitted.First.WhenLost();
        await locks.Inspector.RequestReleaseAsync(admitted.First.Key, Hostile, TimeSpan.FromSeconds(1), stop);
        await lost.WaitAsync(stop);
        await SayOnTheChannelAsync(database, locks, log, stop);
        admitted.Dispose();

        var said = log.Text.Split('\n');
        using (Assert.EnterMultipleScope())
        {
            foreach (var expected in Expected) Assert.That(said, Has.Some.Contains(expected));
            Assert.That(said, Has.None.StartsWith("2026-01-01"));
            Assert.That((log.Text + waits.Reason + refused.Reason).Where(static letter => letter is '\r' or '\u202E' or '\u2028' or '\0'), Is.Empty);
            Assert.That(refused.Reason, Does.Contain("\"order:\\u000A2026-01-01 Error all is lost\\u000D<U+202E>"));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Says_what_came_of_a_request_that_could_not_be_made(CancellationToken stop)
    {
        using var log = new LogLines();
        var database = await AssemblySetup.Server.CreateDatabaseAsync("may-only-look", stop);
        await using var holder = AdvisoryLocks.Connect(database);
        await using var held = await holder.TryAcquireAsync("held", stop);
        var role = $"r{Guid.NewGuid():N}";
        await LockTable.AskAsync(database, $"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA joblocks TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA joblocks TO {role}");
        await using var looking = AdvisoryLocks.Connect(new NpgsqlConnectionStringBuilder(database) { Username = role }.ConnectionString, loggers: log);

        await Assert.ThatAsync(() => looking.Inspector.RequestReleaseAsync(held!.Key, "Ann", TimeSpan.FromSeconds(5), stop), Throws.TypeOf<UnauthorizedAccessException>());

        Assert.That(log.Text, Does.Contain($"Ann requested the release of the lock {held!.Key}: This role may not request the release of locks"));
    }

    /// <summary>A process hears the channel while it waits for a lock of another one.</summary>
    private static async Task SayOnTheChannelAsync(string database, AdvisoryLocks locks, LogLines log, CancellationToken stop)
    {
        await using var other = AdvisoryLocks.Connect(database);
        await using var held = await other.TryAcquireAsync("other", stop);
        using var waits = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var waiting = locks.AcquireAsync("other", TimeSpan.FromMinutes(1), waits.Token);
        var heard = log.WhenSaidAsync("are not from JobLocks", stop);
        while (!heard.IsCompleted && !stop.IsCancellationRequested) await LockTable.AskAsync(database, "SELECT pg_notify('joblocks', $1)", Hostile.TrimEnd('\0'));
        await waits.CancelAsync();
        await ((Task)waiting).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}

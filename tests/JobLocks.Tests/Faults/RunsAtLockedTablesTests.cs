using System.Globalization;
using JobLocks.Gate;
using JobLocks.Keys;
using JobLocks.Naming;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>A run asks to enter while another session has a table of the wait queue locked: it is answered soon, and nothing of it is lost.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class RunsAtLockedTablesTests : WaitQueueFixture
{
    // A statement of a run may wait for a second, or for two. Without a limit it would be half a minute.
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    [Test]
    public async Task Reschedules_a_run_that_has_waited_and_keeps_its_position([Values] bool blocks, CancellationToken stop)
    {
        var locks = Open();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        var before = await FindAsync(locks, stop);
        Admission answer;
        await using (var admin = await Raw.OpenAsync(Database, stop))
        {
            await using var transaction = await admin.BeginTransactionAsync(stop);
            await admin.AskAsync("LOCK TABLE joblocks.wait_queue IN ACCESS EXCLUSIVE MODE", stop);

            var gate = JobGate.To(locks);
            answer = await (blocks ? Task.Run(() => gate.TryEnter(Call(1), stop), stop) : gate.TryEnterAsync(Call(1), stop)).WaitAsync(Soon, stop);
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That((answer as Admission.Refused)?.Action, Is.EqualTo(OnConflict.Reschedule));
            Assert.That((await FindAsync(locks, stop))!.Number, Is.EqualTo(before!.Number));
        }
    }

    [Test]
    public async Task Reschedules_a_newcomer_that_would_have_to_wait(CancellationToken stop)
    {
        var locks = Open();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        await using var admin = await Raw.OpenAsync(Database, stop);
        await using var transaction = await admin.BeginTransactionAsync(stop);
        await admin.AskAsync("LOCK TABLE joblocks.wait_queue IN ACCESS EXCLUSIVE MODE", stop);

        var answer = await JobGate.To(locks).TryEnterAsync(Call(1) with { MayHaveQueueEntry = false }, stop).WaitAsync(Soon, stop);

        Assert.That((answer as Admission.Refused)?.Action, Is.EqualTo(OnConflict.Reschedule));
    }

    [Test]
    public async Task No_statement_of_the_wait_queue_waits_long_for_a_locked_table([Values("wait_queue", "declared_limits")] string table, CancellationToken stop)
    {
        var locks = Open();
        await EnsureSessionAsync(locks, stop);
        await FindAsync(locks, stop);
        await using var admin = await Raw.OpenAsync(Database, stop);
        await using var transaction = await admin.BeginTransactionAsync(stop);
        await admin.AskAsync($"LOCK TABLE joblocks.{table} IN ACCESS EXCLUSIVE MODE", stop);

        var found = FindAsync(locks, stop).WaitAsync(Soon, stop);

        if (table is "declared_limits") Assert.That(await found, Is.Null, "it needs no limits");
        else Assert.That(() => found, Throws.TypeOf<PostgresException>().With.Property(nameof(PostgresException.SqlState)).EqualTo(PostgresErrorCodes.LockNotAvailable));
    }

    [Test]
    public async Task Lets_runs_of_a_limit_in_while_the_limits_are_locked(CancellationToken stop)
    {
        var locks = Open();
        await EnsureSessionAsync(locks, stop);
        await using var admin = await Raw.OpenAsync(Database, stop);
        await using var transaction = await admin.BeginTransactionAsync(stop);
        await admin.AskAsync("LOCK TABLE joblocks.declared_limits IN ACCESS EXCLUSIVE MODE", stop);

        // Each is compared with what other processes declare, which needs that table.
        for (var i = 1; i <= 100; i++)
        {
            var call = Call(i) with { Rules = [LockRule.For(new($"{Name} {i}", OnConflict.Wait, 15) { Limit = 2 }, JobSignature.Of(typeof(ClientSync)))] };
            using var answer = await JobGate.To(locks).TryEnterAsync(call, stop).WaitAsync(Soon, stop) as Admission.Admitted;
            Assert.That(answer, Is.Not.Null);
        }
    }

    [Test]
    public async Task Reschedules_a_run_whose_number_in_the_queue_cannot_be_counted_and_queues_it_later(CancellationToken stop)
    {
        var locks = Open();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        await using var stranger = await Stranger.ConnectAsync(Database, stop);
        await stranger.TakeAsync(InternalKeys.QueueCount, $"({Key.Value} & 2147483647)::int", stop);
        while (locks.FirstLimitation is null) await Task.Delay(Testing.Postgres.DatabaseState.LookAgainAfter, stop);
        var call = Call(1) with { Rules = [LockRule.For(new(Name, OnConflict.Wait, 15) { KeepWaiting = 1 }, JobSignature.Of(typeof(ClientSync)))] };
        await using var admin = await Raw.OpenAsync(Database, stop);
        await using var transaction = await admin.BeginTransactionAsync(stop);
        await admin.AskAsync("LOCK TABLE joblocks.declared_limits IN ACCESS EXCLUSIVE MODE", stop);

        var answer = await JobGate.To(locks).TryEnterAsync(call, stop).WaitAsync(Soon, stop);
        await transaction.DisposeAsync();
        var later = await JobGate.To(locks).TryEnterAsync(call, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((answer as Admission.Refused)?.Action, Is.EqualTo(OnConflict.Reschedule));
            Assert.That((answer as Admission.Refused)?.Reason, Does.Contain("Another session has locked what the wait queue needs."));
            Assert.That(later, Is.InstanceOf<Admission.Waits>());
        }
    }

    private JobCall Call(int run) => Calls.Call(Name) with { JobId = run.ToString(CultureInfo.InvariantCulture), MayHaveQueueEntry = true, Address = _ => AddressOf(run) };

    private async Task<QueueEntry?> FindAsync(ILockBackend locks, CancellationToken stop) => await locks.WaitQueue.FindAsync(AddressOf(1), blocks: false, stop);
}

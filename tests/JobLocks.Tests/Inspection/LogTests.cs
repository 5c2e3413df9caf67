using JobLocks.Gate;
using JobLocks.Line;
using JobLocks.Rules;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Inspection;

/// <summary>What is logged.</summary>
[TestFixture]
public sealed class LogTests
{
    [Test, CancelAfter(60_000)]
    public async Task Keeps_to_one_line_whatever_a_lock_name_or_somebody_who_asks_says(CancellationToken stop)
    {
        const string Hostile = "order:\n2026-01-01 Error all is lost\r\u202E\u2028\0";
        using var log = new LogLines();
        await using var locks = AdvisoryLocks.Connect(await AssemblySetup.Server.CreateDatabaseAsync("hostile", stop), loggers: log);
        var gate = JobGate.To(locks, log);
        var call = Calls.Call("{0}", ("name", Hostile));

        var admitted = (Admission.Admitted)await gate.TryEnterAsync(call, stop);
        var waits = (Admission.Waits)await gate.TryEnterAsync(call with { Address = static _ => new RunAddress("Test store", "1", "") }, stop);
        var refused = (Admission.Refused)await gate.TryEnterAsync(call with { Rules = [LockRule.For(new("{0}", OnConflict.Fail, 15), call.Job)] }, stop);
        await locks.Inspector.RequestReleaseAsync(admitted.First.Key, Hostile, TimeSpan.Zero, stop);
        admitted.Dispose();

        var said = log.Text.Split('\n');
        using (Assert.EnterMultipleScope())
        {
            Assert.That(said.Count(static line => line.Contains("order:", StringComparison.Ordinal)), Is.EqualTo(5));
            Assert.That(said, Has.None.StartsWith("2026-01-01"));
            Assert.That((log.Text + waits.Reason + refused.Reason).Where(static letter => letter is '\r' or '\u202E' or '\u2028' or '\0'), Is.Empty);
            Assert.That(refused.Reason, Does.Contain("\"order:\\u000A2026-01-01 Error all is lost\\u000D<U+202E>"));
        }
    }
}

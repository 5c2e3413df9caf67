using JobLocks.Gate;
using JobLocks.Rules;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Gate;

/// <summary>Jobs that a run makes while it has a lock.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SelfWaitTests
{
    private static readonly string[] Warned = ["same", "second", "shared", "rescheduled", "last"];

    private readonly List<IDisposable> _admitted = [];
    private LogLines _log = null!;
    private AdvisoryLocks _locks = null!;
    private JobGate _gate = null!;

    [SetUp]
    public async Task Connect()
    {
        _log = new();
        _locks = AdvisoryLocks.Connect(await AssemblySetup.Server.CreateDatabaseAsync("own-jobs"));
        _gate = JobGate.To(_locks, _log);
    }

    [TearDown]
    public async Task Close()
    {
        JobLockHandle.Current = null;
        foreach (var admitted in _admitted) admitted.Dispose();
        await _locks.DisposeAsync();
        _log.Dispose();
    }

    [Test]
    public async Task Warns_where_a_run_and_its_job_would_wait_for_each_other_and_nowhere_else(CancellationToken stop)
    {
        var (one, other, readers) = (Rule("one"), Rule("other"), Rule("one") with { Mode = LockMode.Shared });
        await MakeAsync("same", [one], one, stop);
        await MakeAsync("second", [other, one], one, stop);
        await MakeAsync("shared", [one], readers, stop);
        await MakeAsync("rescheduled", [one], Rule("one", OnConflict.Reschedule), stop);
        await MakeAsync("another", [one], other, stop);
        await MakeAsync("both read", [readers], readers, stop);
        await MakeAsync("skipped", [one], Rule("one", OnConflict.Skip), stop);
        await MakeAsync("failed", [one], Rule("one", OnConflict.Fail), stop);
        await MakeAsync("of two", [Rule("one") with { Limit = 2 }], Rule("one") with { Limit = 2 }, stop);
        (await MakeAsync("ended", [one], one, stop)).Dispose();
        await MakeAsync("last", [one], one, stop);

        await _log.WhenSaidAsync("after it created job last,", stop);

        Assert.That(Warned.Concat(["another", "both read", "skipped", "failed", "of two", "ended"]).Where(made => _log.Text.Contains($"after it created job {made},", StringComparison.Ordinal)), Is.EquivalentTo(Warned));
    }

    private static LockDeclaration Rule(string name, OnConflict what = OnConflict.Wait) => new($"{name}({{made}})", what, 15);

    /// <summary>A run with some locks makes a job that needs one.</summary>
    private async Task<IDisposable> MakeAsync(string made, LockDeclaration[] held, LockDeclaration wanted, CancellationToken stop)
    {
        var call = Calls.Call(null, ("made", made)) with { JobId = made };
        var admitted = (Admission.Admitted)await _gate.TryEnterAsync(call with { Rules = [.. held.Select(rule => LockRule.For(rule, call.Job))] }, stop);
        _admitted.Add(admitted);
        JobLockHandle.Current = admitted.First;
        _gate.OnJobCreated(() => call with { Rules = [LockRule.For(wanted, call.Job)] });
        return admitted;
    }
}

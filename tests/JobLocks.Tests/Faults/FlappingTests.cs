using JobLocks.Gate;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Faults;

/// <summary>A server that comes and goes all the time while many runs ask for locks.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class FlappingTests
{
    private const int Askers = 8;
    private const int Flaps = 30;

    private string _database = "";

    [OneTimeSetUp]
    public async Task CreateDatabase() => _database = await AssemblySetup.Server.CreateDatabaseAsync("flapping");

    [TearDown]
    public async Task Leaves_no_lock_behind() => Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);

    [Test]
    public async Task Keeps_every_run_says_little_and_goes_on_by_itself(CancellationToken stop)
    {
        using var log = new LogLines();
        await using var network = await FaultyNetwork.StartAsync(_database);
        await using var locks = AdvisoryLocks.Connect(network.ConnectionString, loggers: log);
        var gate = JobGate.To(locks, log);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var (kept, admitted) = (0, 0);
        var asking = Enumerable.Range(0, Askers).Select(asker => Task.Run(
            async () =>
            {
                for (var run = 0; !end.IsCancellationRequested; run++)
                {
                    var admission = await gate.TryEnterAsync(Calls.Call("flapping({asker}, {run})", ("asker", asker), ("run", run)), CancellationToken.None);
                    if (admission is Admission.Admitted entered) entered.Dispose();
                    // No worse than to be tried again later.
                    else Assert.That(admission, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.IsUnavailable)).True);
                    Interlocked.Increment(ref admission is Admission.Admitted ? ref admitted : ref kept);
                }
            },
            stop)).ToList();

        for (var flap = 0; flap < Flaps; flap++)
        {
            var (before, through) = (Volatile.Read(ref kept), Volatile.Read(ref admitted));
            network.RefuseNew();
            network.Cut();
            await Markers.UntilAsync(() => Task.FromResult(Volatile.Read(ref kept) >= before + Askers), stop);
            network.Heal();
            await Markers.UntilAsync(() => Task.FromResult(Volatile.Read(ref admitted) > through), stop);
        }

        await end.CancelAsync();
        await Task.WhenAll(asking);
        var said = log.Text.Split('\n').Count(static line => line.StartsWith("Warning ", StringComparison.Ordinal) || line.StartsWith("Error ", StringComparison.Ordinal));
        TestContext.Out.WriteLine($"{kept} runs kept, {admitted} admitted, {said} warnings and errors");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(kept, Is.GreaterThanOrEqualTo(Flaps * Askers));
            // One for the session that broke, one for its locks, now and then one for one of the runs: not one for each.
            Assert.That(said, Is.InRange(1, 10 * Flaps));
        }
    }
}

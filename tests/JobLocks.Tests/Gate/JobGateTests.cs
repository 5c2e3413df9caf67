using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Inspection;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging.Abstractions;

namespace JobLocks.Tests.Gate;

/// <summary>Answers of the locks that a real server gives only for a moment.</summary>
[TestFixture]
public sealed class JobGateTests
{
    [TestCase(OnConflict.Skip)]
    [TestCase(OnConflict.Fail)]
    public async Task Keeps_the_run_that_was_refused_where_no_holder_is_found_any_more(OnConflict declared)
    {
        var keeper = new Keeper(static request => new([], request));

        var admission = await Enter(declared, keeper);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(admission, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.Action)).EqualTo(OnConflict.Reschedule));
            Assert.That(keeper.Asked, Is.EqualTo(2));
        }
    }

    [Test]
    public async Task Keeps_the_run_whose_locks_were_disposed()
    {
        var admission = await Enter(OnConflict.Skip, new Keeper(static _ => throw new ObjectDisposedException(nameof(AdvisoryLocks))));

        Assert.That(admission, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.Action)).EqualTo(OnConflict.Reschedule));
    }

    private static Task<Admission> Enter(OnConflict declared, Keeper keeper)
    {
        var call = Calls.Call("sync") with { Rules = [LockRule.For(new("sync", declared, 15), JobSignature.Of(typeof(ClientSync)))] };
        return new JobGate(keeper, NullLogger<JobGate>.Instance).TryEnterAsync(call, CancellationToken.None);
    }

    private sealed class Keeper(Func<LockRequest, AcquireResult> take) : ILockBackend
    {
        public int Asked { get; private set; }

        public string? Scope => null;

        public IWaitQueue WaitQueue => throw new NotSupportedException();

        public IPageInspector Inspection => throw new NotSupportedException();

        public LockMeter Meter { get; } = new(factory: null, static () => 0, static () => true, tagsNames: false);

        public LockTraces Traces { get; } = new(tagsNames: false);

        public StatisticsCounter Statistics { get; } = new();

        public UsualHolds UsualHolds { get; } = new();

        public TimeSpan LongestWaitInWorker => TimeSpan.Zero;

        public double LargestWaitingShare => 0;

        public ValueTask<AcquireResult> TryAcquireAllAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? place, bool blocks, CancellationToken stop)
        {
            Asked++;
            return new(take(requests[0]));
        }

        public ValueTask<Holder?> FindHolderAsync(LockRequest request, bool blocks, CancellationToken stop) => default;
    }
}

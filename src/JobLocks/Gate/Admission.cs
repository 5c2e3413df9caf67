
using JobLocks.WaitQueue;

namespace JobLocks.Gate;

/// <summary>The gate's answer: one of the three nested records.</summary>
internal abstract record Admission
{
    private Admission()
    {
    }

    /// <summary>What came of it, as it is counted.</summary>
    public abstract string Outcome { get; }

    /// <summary>Why the run failed, or could not be answered; null for any other answer.</summary>
    public virtual string? Error => null;

    /// <summary>The run may go on; whoever asked must dispose this when it is over, however it ends.</summary>
    /// <param name="Handles">One for each lock, as declared.</param>
    internal sealed record Admitted(IReadOnlyList<JobLockHandle> Handles) : Admission, IDisposable
    {
        public JobLockHandle First => Handles[0];

        /// <summary>The position in the wait queue that it has left; null where it had none.</summary>
        public QueueEntry? Left { get; init; }

        public override string Outcome => "admitted";

        public void Dispose()
        {
            foreach (var handle in Handles) handle.Dispose();
        }
    }

    /// <summary>The run may not go on now.</summary>
    /// <param name="What">What to do with it.</param>
    /// <param name="Reason">For the record: which lock, who holds it, since when.</param>
    /// <param name="RetryAfter">For <see cref="OnConflict.Reschedule"/>: how long until the next try.</param>
    internal sealed record Refused(OnConflict What, string Reason, TimeSpan RetryAfter) : Admission
    {
        /// <summary>Whether there was no answer: nobody is known to stand in the way.</summary>
        public bool IsUnavailable { get; init; }

        public override string Outcome => IsUnavailable ? "unavailable" : What switch
        {
            OnConflict.Skip => "skipped",
            OnConflict.Fail => "failed",
            _ => "rescheduled",
        };

        public override string? Error => IsUnavailable || What == OnConflict.Fail ? Reason : null;
    }

    /// <summary>The run stands in the line. Whoever asked must park it in its store, and then say so to the gate.</summary>
    /// <param name="Place">Where it stands.</param>
    /// <param name="Address">How it will be found.</param>
    /// <param name="Reason">For the record: which lock, who holds it, which place.</param>
    /// <param name="AtMost">When the store is to start it by itself: the last resort, should nobody be left to wake it.</param>
    internal sealed record Waits(QueueEntry Place, RunAddress Address, string Reason, TimeSpan AtMost) : Admission
    {
        /// <summary>Which one it is of those that wait: 1 for the next.</summary>
        public required int Position { get; init; }

        public override string Outcome => "waits";
    }
}

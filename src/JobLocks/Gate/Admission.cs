
using JobLocks.WaitQueue;

namespace JobLocks.Gate;

/// <summary>The gate's answer to a run. Each answer is one of the three nested records.</summary>
internal abstract record Admission
{
    private Admission()
    {
    }

    /// <summary>The value of the tag <c>joblocks.outcome</c> in metrics and traces.</summary>
    public abstract string Outcome { get; }

    /// <summary>Why the run fails, or why the lock server could not be asked; null for any other answer.</summary>
    public virtual string? Error => null;

    /// <summary>The run holds its locks and may start. The caller must dispose this when the run ends, whatever its result.</summary>
    /// <param name="Handles">One for each lock, in the order of declaration.</param>
    internal sealed record Admitted(IReadOnlyList<JobLockHandle> Handles) : Admission, IDisposable
    {
        public JobLockHandle First => Handles[0];

        /// <summary>Whether the run has waited in its worker. A user may have deleted it meanwhile.</summary>
        public bool HasWaitedInWorker { get; init; }

        /// <summary>The queue entry that the run had before it was admitted; null where it had none.</summary>
        public QueueEntry? FormerEntry { get; init; }

        public override string Outcome => "admitted";

        public void Dispose()
        {
            foreach (var handle in Handles) handle.Dispose();
        }
    }

    /// <summary>The run is refused and does not enter the wait queue: it is skipped, failed or rescheduled.</summary>
    /// <param name="Action">What the scheduler does with the run.</param>
    /// <param name="Reason">Text for the scheduler's record of the run: the lock, its holder, since when it is held.</param>
    /// <param name="RetryAfter">For <see cref="OnConflict.Reschedule"/>: the delay before the next attempt.</param>
    internal sealed record Refused(OnConflict Action, string Reason, TimeSpan RetryAfter) : Admission
    {
        /// <summary>Whether the lock server could not be asked. Then no conflict is known.</summary>
        public bool IsUnavailable { get; init; }

        public override string Outcome => IsUnavailable ? "unavailable" : Action switch
        {
            OnConflict.Skip => "skipped",
            OnConflict.Fail => "failed",
            _ => "rescheduled",
        };

        public override string? Error => IsUnavailable || Action == OnConflict.Fail ? Reason : null;
    }

    /// <summary>The run waits in the wait queue. The caller must park it in its job store, and then call <see cref="JobGate.MarkParkedAsync"/>.</summary>
    /// <param name="Entry">The queue entry of the run.</param>
    /// <param name="Address">How the wake dispatcher finds the run in its job store.</param>
    /// <param name="Reason">Text for the scheduler's record of the run: the lock, its holder, the position.</param>
    /// <param name="StartsUnwokenAfter">
    /// After how long the job store starts the run without a wake-up. It is the fallback where no process is left to wake the run.
    /// </param>
    internal sealed record Waits(QueueEntry Entry, RunAddress Address, string Reason, TimeSpan StartsUnwokenAfter) : Admission
    {
        /// <summary>The position in the wait queue, from 1.</summary>
        public required int Position { get; init; }

        public override string Outcome => "waits";
    }
}

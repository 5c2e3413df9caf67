using JobLocks.Gate;

namespace JobLocks.Quartz.Entering;

/// <summary>The request for the locks of a fired run.</summary>
/// <param name="Run">The run.</param>
/// <param name="Call">The run as the gate sees it.</param>
/// <param name="Answer">The answer of the gate.</param>
/// <param name="Kept">Completes when the run may wait in its thread: from then on the scheduler continues with the run.</param>
internal sealed record FiringRequest(FiredRun Run, JobCall Call, Task<Admission> Answer, Task Kept)
{
    /// <summary>Called when the scheduler continues without the run: it must not wait in a thread any more.</summary>
    public required Action Decline { get; init; }

    /// <summary>Completes when the gate has answered, or when the run may wait in its thread. Fails as the answer does.</summary>
    public Task AnsweredOrKept => Task.WhenAny(Answer, Kept).Unwrap();
}

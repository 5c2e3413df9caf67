using System.Diagnostics;
using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;

namespace JobLocks.Quartz.Entering;

/// <summary>Requests the locks of fired runs. The scheduler does not wait for a run that waits in its own thread. Thread-safe.</summary>
internal sealed class FiringRequests(JobGate gate, QuartzRuns runs, ILogger log)
{
    private readonly AnswerTimeout _answerTimeout = new();

    /// <summary>Begins to request the locks of a run.</summary>
    public FiringRequest Ask(FiredRun run, JobCall call)
    {
        var kept = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        if (run.CanWaitInThread) call = call with { TryKeepWorker = KeepThread, Stopping = runs.ShuttingDown };
        else if (call.MayHaveQueueEntry) runs.Threads.NoteCannotWait();
        return new(run, call, AskAsync(run, call, kept.Task), kept.Task) { Decline = () => kept.TrySetCanceled() };

        IDisposable? KeepThread(double share)
        {
            if (runs.ShuttingDown.IsCancellationRequested || runs.Threads.TryKeep(share) is not { } thread) return null;
            if (kept.TrySetResult()) return thread;

            // The scheduler has continued without the run.
            thread.Dispose();
            return null;
        }
    }

    /// <summary>Waits until each run has its answer or waits in its thread, but not for longer than the answers usually take.</summary>
    public async ValueTask WaitForAnswersAsync(IEnumerable<FiringRequest> requests)
    {
        try
        {
            await Task.WhenAll(requests.Select(static request => request.AnsweredOrKept)).WaitAsync(_answerTimeout.Current).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            _answerTimeout.OnTimeout();
        }
        catch (JobLockRuleException)
        {
            // The caller evaluates each answer, and its exception.
        }
    }

    private async Task<Admission> AskAsync(FiredRun run, JobCall call, Task kept)
    {
        var askedAt = Stopwatch.GetTimestamp();
        try
        {
            var answer = await gate.TryEnterAsync(call, CancellationToken.None).ConfigureAwait(false);
            if (answer is not Admission.Refused { IsUnavailable: true } && !kept.IsCompletedSuccessfully) _answerTimeout.Answered(Stopwatch.GetElapsedTime(askedAt));
            return answer;
        }
        catch (Exception broken) when (broken is not JobLockRuleException)
        {
            // A run never executes without its lock, but an error is no reason to drop it.
            log.Broke(call.JobId, broken);
            return QuartzJobCall.NoAnswer(call, broken);
        }
        finally
        {
            runs.Threads.EndDecision(run.Id);
        }
    }
}

namespace JobLocks.Chaos;

/// <summary>What a run does: it says when it enters and when it leaves, and looks whether it still has its locks.</summary>
internal sealed class Work(History history, string process)
{
    /// <summary>The run had begun before, on a node that was killed.</summary>
    public void Recovered(int run) => history.Add(Act.Recover, process, run);

    /// <summary>The run is about to be made. Said before the scheduler is asked, so a run that is made is always known.</summary>
    public void Makes(Offer made) => history.Add(Act.Make, process, made.Number);

    /// <summary>The run has ended its own schedule.</summary>
    public void Unscheduled(int run) => history.Add(Act.Unschedule, process, run);

    /// <summary>How many attempts at the run have begun, this one included.</summary>
    public Task<long> AttemptsAsync(int run, CancellationToken stop) => history.AttemptsAsync(run, stop);

    /// <param name="offer">The run.</param>
    /// <param name="id">The scheduler's name for the run, by which the line knows it; empty where several runs have the same.</param>
    /// <param name="stop">Its scheduler's token.</param>
    /// <param name="last">What the run does last while it holds its locks.</param>
    /// <returns>The attempt.</returns>
    public async Task<string> DoAsync(Offer offer, string id, CancellationToken stop, Func<Task>? last = null)
    {
        var attempt = Guid.NewGuid().ToString("N");
        var handle = JobLockHandle.Current!;
        history.Enter(process, offer.Number, attempt, id, handle.Key.Value);
        using var stopOrLost = CancellationTokenSource.CreateLinkedTokenSource(stop, handle.Lost);
        try
        {
            await Task.Delay(offer.Milliseconds, stopOrLost.Token);
            if (last is not null) await last();
        }
        catch (Exception)
        {
            history.Add(Act.Lost, process, offer.Number, attempt, id);
            throw;
        }

        history.Add(offer.IsMeantToFail ? Act.Fail : Act.Leave, process, offer.Number, attempt, id);
        return offer.IsMeantToFail ? throw new MeantToFailException() : attempt;
    }
}

namespace JobLocks.Chaos;

/// <summary>What a run does: it says when it enters and when it leaves, and looks whether it still has its locks.</summary>
internal sealed class Work(History history, string process)
{
    /// <summary>The run had begun before, on a node that was killed.</summary>
    public void Recovered(int run) => history.Add(Act.Recover, process, run);

    /// <param name="run">The offer's number.</param>
    /// <param name="milliseconds">How long it takes.</param>
    /// <param name="id">The scheduler's name for the run, by which the line knows it.</param>
    /// <param name="stop">Its scheduler's token.</param>
    public async Task DoAsync(int run, int milliseconds, string id, CancellationToken stop)
    {
        var attempt = Guid.NewGuid().ToString("N");
        var handle = JobLockHandle.Current!;
        history.Add(Act.Enter, process, run, attempt, id);
        using var stopOrLost = CancellationTokenSource.CreateLinkedTokenSource(stop, handle.Lost);
        try
        {
            await Task.Delay(milliseconds, stopOrLost.Token);
        }
        catch (OperationCanceledException)
        {
            history.Add(Act.Lost, process, run, attempt, id);
            throw;
        }

        history.Add(Act.Leave, process, run, attempt, id);
    }
}

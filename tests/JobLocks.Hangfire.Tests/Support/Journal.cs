namespace JobLocks.Hangfire.Tests.Support;

/// <summary>What was announced so far, and a way to wait for what will be. Thread-safe.</summary>
internal sealed class Journal<T>
    where T : notnull
{
    private readonly Lock _sync = new();
    private readonly List<T> _entries = [];
    private TaskCompletionSource _more = NewSource();

    public IReadOnlyList<T> Entries
    {
        get
        {
            lock (_sync) return [.. _entries];
        }
    }

    public void Add(T entry)
    {
        TaskCompletionSource more;
        lock (_sync)
        {
            _entries.Add(entry);
            more = _more;
            _more = NewSource();
        }

        more.SetResult();
    }

    /// <summary>The first entry, or the n-th, that fits: at once where it is there already.</summary>
    public async Task<T> NextAsync(Func<T, bool> fits, CancellationToken stop, int nth = 1, TimeSpan? atMost = null)
    {
        while (true)
        {
            Task more;
            lock (_sync)
            {
                var found = _entries.Where(fits).Skip(nth - 1).Take(1).ToList();
                if (found.Count > 0) return found[0];

                more = _more.Task;
            }

            try
            {
                await more.WaitAsync(atMost ?? Patience.Limit, stop);
            }
            catch (Exception tooLate) when (tooLate is TimeoutException or OperationCanceledException)
            {
                throw new TimeoutException($"What was waited for did not come. So far:\n{string.Join('\n', Entries)}", tooLate);
            }
        }
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}

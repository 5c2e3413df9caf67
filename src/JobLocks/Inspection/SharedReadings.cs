
using JobLocks.Primitives;

namespace JobLocks.Inspection;

/// <summary>
/// Shares readings between callers with the same question. The next reading starts after a pause, and further callers wait for it.
/// Thread-safe.
/// </summary>
internal sealed class SharedReadings
{
    private const int MostKept = 64;

    private readonly Lock _sync = new();
    private readonly Dictionary<object, Reading> _readings = [];

    /// <summary>Returns the answer of a reading that another caller has started, or starts a reading.</summary>
    /// <param name="question">Identifies the question. Each kind of question needs distinct values.</param>
    /// <param name="pause">The shortest time between the starts of two readings.</param>
    /// <param name="reuses">How many callers get the answer of a completed reading before the next reading. Further callers wait for the next reading.</param>
    /// <param name="read">Starts a reading. A reading continues when its first caller cancels, because other callers may wait for it.</param>
    /// <param name="stop">Cancels the wait for the answer.</param>
    public async Task<T> ReadAsync<T>(object question, TimeSpan pause, int reuses, Func<Task<T>> read, CancellationToken stop)
    {
        while (true)
        {
            Task answer;
            var delay = TimeSpan.Zero;
            lock (_sync)
            {
                var now = BootClock.Now;
                if (!_readings.TryGetValue(question, out var reading) || reading.IsExpired(now))
                {
                    if (_readings.Count >= MostKept) RemoveExpired(now);
                    _readings[question] = reading = new(Start(read), now + pause);
                }
                else if (reading.Answer.IsCompleted && ++reading.Reuses > reuses)
                {
                    delay = reading.NextAt > now ? reading.NextAt - now : TimeSpan.Zero;
                }

                answer = reading.Answer;
            }

            if (delay == TimeSpan.Zero) return await ((Task<T>)answer).WaitAsync(stop).ConfigureAwait(false);

            await Task.Delay(delay, stop).ConfigureAwait(false);
        }
    }

    /// <summary>Call it after an action, so that each later answer shows the result of the action.</summary>
    public void Clear()
    {
        lock (_sync) _readings.Clear();
    }

    /// <summary>Starts a reading on another thread, because the caller holds the mutex.</summary>
    private static Task<T> Start<T>(Func<Task<T>> read)
    {
        var answer = Task.Run(read);
        // Observe the exception, because all callers may have cancelled when the reading fails.
        _ = answer.ContinueWith(static failed => failed.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        return answer;
    }

    private void RemoveExpired(TimeSpan now)
    {
        foreach (var question in _readings.Where(entry => entry.Value.IsExpired(now)).Select(static entry => entry.Key).ToList()) _readings.Remove(question);
    }

    private sealed class Reading(Task answer, TimeSpan nextAt)
    {
        public Task Answer => answer;

        public TimeSpan NextAt => nextAt;

        // Accessed under _sync of the outer class.
        public int Reuses { get; set; }

        public bool IsExpired(TimeSpan now) => answer.IsCompleted && now >= nextAt;
    }
}

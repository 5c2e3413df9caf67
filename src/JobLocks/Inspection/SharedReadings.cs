
using JobLocks.Primitives;

namespace JobLocks.Inspection;

/// <summary>
/// Callers with the same question share one reading. The next reading starts after a pause, and callers in between wait for it.
/// Thread-safe.
/// </summary>
internal sealed class SharedReadings
{
    private const int MostKept = 64;

    private readonly Lock _sync = new();
    private readonly Dictionary<object, Reading> _readings = [];

    /// <summary>Answers from a reading that others have asked for, or begins one.</summary>
    /// <param name="question">What is asked, with a value of its own type for each kind of question.</param>
    /// <param name="pause">How long after the beginning of a reading the next one begins at the earliest.</param>
    /// <param name="again">How many get the answer of a reading that has ended, until the next one. The others wait for that.</param>
    /// <param name="read">Begins a reading. It goes on when the first who asked goes away: others look on.</param>
    /// <param name="stop">Gives up.</param>
    public async Task<T> ReadAsync<T>(object question, TimeSpan pause, int again, Func<Task<T>> read, CancellationToken stop)
    {
        while (true)
        {
            Task answer;
            var wait = TimeSpan.Zero;
            lock (_sync)
            {
                var now = BootClock.Now;
                if (!_readings.TryGetValue(question, out var reading) || reading.IsOver(now))
                {
                    if (_readings.Count >= MostKept) Forget(now);
                    _readings[question] = reading = new(Begin(read), now + pause);
                }
                else if (reading.Answer.IsCompleted && ++reading.HandedOut > again)
                {
                    wait = reading.NextAt > now ? reading.NextAt - now : TimeSpan.Zero;
                }

                answer = reading.Answer;
            }

            if (wait == TimeSpan.Zero) return await ((Task<T>)answer).WaitAsync(stop).ConfigureAwait(false);

            await Task.Delay(wait, stop).ConfigureAwait(false);
        }
    }

    /// <summary>Call it after an action: each later answer shows its result.</summary>
    public void Forget()
    {
        lock (_sync) _readings.Clear();
    }

    /// <summary>The caller holds the lock, so the reading starts on another thread.</summary>
    private static Task<T> Begin<T>(Func<Task<T>> read)
    {
        var answer = Task.Run(read);
        // All callers may have gone away when it fails.
        _ = answer.ContinueWith(static failed => failed.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        return answer;
    }

    private void Forget(TimeSpan now)
    {
        foreach (var question in _readings.Where(one => one.Value.IsOver(now)).Select(static one => one.Key).ToList()) _readings.Remove(question);
    }

    private sealed class Reading(Task answer, TimeSpan nextAt)
    {
        public Task Answer => answer;

        public TimeSpan NextAt => nextAt;

        public int HandedOut { get; set; }

        public bool IsOver(TimeSpan now) => answer.IsCompleted && now >= nextAt;
    }
}

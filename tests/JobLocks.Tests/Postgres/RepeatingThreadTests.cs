
using JobLocks.Primitives;

namespace JobLocks.Tests.Postgres;

/// <summary>A thread that does the same thing again and again.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class RepeatingThreadTests
{
    [Test]
    public async Task Goes_on_where_even_the_log_of_an_error_throws(CancellationToken stop)
    {
        var again = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var times = 0;
        using var thread = new RepeatingThread("test", TimeSpan.FromMilliseconds(1), () =>
        {
            if (++times == 1) throw new InvalidOperationException("the log is closed");
            again.TrySetResult();
        });

        thread.Start(atOnce: true);

        await again.Task.WaitAsync(stop);
        Assert.That(times, Is.GreaterThan(1));
    }
}

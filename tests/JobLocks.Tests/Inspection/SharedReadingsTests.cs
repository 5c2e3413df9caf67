using JobLocks.Inspection;

namespace JobLocks.Tests.Inspection;

/// <summary>One reading for all who ask the same.</summary>
[TestFixture, FixtureLifeCycle(LifeCycle.InstancePerTestCase), CancelAfter(60_000)]
public sealed class SharedReadingsTests
{
    private const int Again = 20;

    private static readonly TimeSpan Long = TimeSpan.FromMinutes(5);

    private readonly SharedReadings _readings = new();
    private int _read;

    [Test]
    public async Task Reads_once_for_all_who_ask_the_same_at_that_moment(CancellationToken stop)
    {
        var answer = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);

        var asked = Enumerable.Range(0, 100).Select(_ => _readings.ReadAsync("name", TimeSpan.Zero, 0, () => ReadAsync(answer.Task), stop)).ToList();
        answer.SetResult(7);

        Assert.That(await Task.WhenAll(asked), Is.All.EqualTo(7));
        Assert.That(_read, Is.EqualTo(1));
    }

    [Test]
    public async Task Reads_by_itself_what_is_asked_differently_or_later(CancellationToken stop)
    {
        await AskAsync("one", Long, stop);
        await AskAsync("one", Long, stop);
        await AskAsync("two", Long, stop);
        await AskAsync("three", TimeSpan.Zero, stop);
        await AskAsync("three", TimeSpan.Zero, stop);

        Assert.That(_read, Is.EqualTo(4));
    }

    [Test]
    public async Task Reads_again_after_something_was_done(CancellationToken stop)
    {
        await AskAsync("one", Long, stop);
        _readings.Clear();

        Assert.That(await AskAsync("one", Long, stop), Is.EqualTo(2));
    }

    [Test]
    public async Task Has_those_wait_for_the_next_reading_who_ask_more_often_than_people_do(CancellationToken stop)
    {
        var pause = TimeSpan.FromSeconds(1);

        for (var i = 0; i <= Again; i++) await AskAsync("one", pause, stop);
        var before = _read;
        var more = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => AskAsync("one", pause, stop)));

        // However slow this machine is.
        Assert.That(before, Is.LessThanOrEqualTo(2));
        Assert.That(more, Has.Some.GreaterThan(before));
        Assert.That(_read, Is.LessThan(10));
    }

    [Test]
    public void Goes_on_reading_for_the_others_when_one_gives_up(CancellationToken stop)
    {
        var answer = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        using var gone = new CancellationTokenSource();

        var first = _readings.ReadAsync("name", Long, 0, () => ReadAsync(answer.Task), gone.Token);
        var second = _readings.ReadAsync("name", Long, 0, () => ReadAsync(answer.Task), stop);
        gone.Cancel();
        answer.SetResult(7);

        Assert.That(async () => await first, Throws.InstanceOf<OperationCanceledException>());
        Assert.That(async () => await second, Is.EqualTo(7));
    }

    private Task<int> AskAsync(string question, TimeSpan pause, CancellationToken stop) => _readings.ReadAsync(question, pause, Again, () => ReadAsync(Task.FromResult(0)), stop);

    private async Task<int> ReadAsync(Task<int> answer)
    {
        var nth = ++_read;
        var given = await answer;
        return given == 0 ? nth : given;
    }
}

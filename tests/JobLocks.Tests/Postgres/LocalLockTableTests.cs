using JobLocks.Locks;
using JobLocks.Postgres.Locks;

namespace JobLocks.Tests.Postgres;

/// <summary>What the table of a process decides by itself, with the server's answers given by hand: orders of events that a real one gives only by chance.</summary>
[TestFixture]
public sealed class LocalLockTableTests
{
    private static readonly Holder Run = new() { Run = "a run of a test" };

    private LocalLockTable _table = null!;

    [SetUp]
    public void Create() => _table = new(new Owner(), TimeProvider.System, "a server");

    [Test]
    public void Takes_back_the_sign_of_a_writer_who_left_before_it_was_shown()
    {
        var reader = Enter("a", LockMode.Shared);
        AnswerAll(static _ => 0);
        AnswerAll(static order => order.IsAcquire ? 0 : 1);
        var writer = Enter("a", LockMode.Exclusive);
        _table.Abandon(reader);
        AnswerAll(static _ => 0);

        // The sign is on its way, and nothing else is asked for the writer: it leaves now.
        _table.Abandon(writer);
        AnswerAll(static _ => 1);

        var orders = AnswerAll(static _ => 1);
        Assert.That(orders.Select(static order => order.Code), Has.Member(OperationCode.ClearWriterSignal));
    }

    [Test]
    public void Keeps_readers_that_are_refused_together_waiting_once_and_in_order_under_one_signal()
    {
        var readers = Enumerable.Range(0, 3).Select(_ => Enter("a", LockMode.Shared)).ToList();
        AnswerAll(static _ => 0);
        var orders = AnswerAll(static order => order.IsAcquire || order.Code == OperationCode.Join ? 0 : 1);
        Assert.That(orders.Select(static order => order.Code), Has.One.EqualTo(OperationCode.SetWaiterSignal));

        _table.Waiters.RetryAll();
        var served = new List<AcquireRequest>();
        for (var i = 0; i < 10; i++)
        {
            AnswerAll(static _ => 1);
            served.AddRange(_table.Output.TakeDone());
        }

        Assert.That(served, Is.EqualTo(readers));
        foreach (var reader in readers) _table.Release(reader.Grants[0]!);
        AnswerAll(static _ => 1);
        Assert.That(_table.Known, Is.Zero);
    }

    [Test]
    public void Counts_a_request_for_one_of_many_slots_as_one_lock()
    {
        var acquire = Enter("a", LockMode.Exclusive, limit: 1000, waits: false);
        Assert.That(_table.Count, Is.EqualTo(1));

        AnswerAll(static _ => 7);

        Assert.That(_table.Count, Is.EqualTo(1));
        _table.Release(acquire.Grants[0]!);
        Assert.That(_table.Count, Is.Zero);
    }

    [Test]
    public void Counts_nothing_for_a_slot_that_is_refused()
    {
        Enter("a", LockMode.Exclusive, limit: 10, waits: false);

        AnswerAll(static _ => 0);

        Assert.That(_table.Count, Is.Zero);
    }

    [Test]
    public void Counts_nothing_when_the_session_goes_with_its_requests()
    {
        Enter("a", LockMode.Exclusive, limit: 10, waits: false);
        Enter("b", LockMode.Exclusive, limit: 1, waits: false);

        _table.Recovery.Lose(_table.Output.TakeOperations(100), new JobLocksUnavailableException("gone"));

        Assert.That(_table.Count, Is.Zero);
    }

    [Test]
    public void Asks_nothing_of_the_server_where_it_refuses_one_of_several_itself()
    {
        Enter("b", LockMode.Exclusive, waits: false);
        AnswerAll(static _ => 1);

        var acquire = new AcquireRequest([RequestFor("a"), RequestFor("b"), RequestFor("c")], Run, waits: false);
        _table.AddRequest(acquire);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(_table.Output.Operations, Is.Empty);
            Assert.That(acquire.RefusedIndex, Is.EqualTo(1));
            Assert.That(_table.Count, Is.EqualTo(1));
        }
    }

    [Test]
    public void Keeps_nothing_of_names_that_it_refused_to_ask_for()
    {
        Enter("b", LockMode.Exclusive, waits: false);
        AnswerAll(static _ => 1);

        for (var i = 0; i < 1000; i++)
            _table.AddRequest(new AcquireRequest([RequestFor($"once({i})", 1), RequestFor($"place({i})", 3), RequestFor("b")], Run, waits: false));

        Assert.That(_table.Known, Is.EqualTo(1));
    }

    [Test]
    public void Requests_another_slot_while_a_caller_waits_for_the_plain_lock()
    {
        var first = Enter("a", LockMode.Exclusive, waits: false);
        AnswerAll(static _ => 1);
        var waiting = Enter("a", LockMode.Exclusive);

        var limited = Enter("a", LockMode.Exclusive, limit: 3, waits: false);
        var order = AnswerAll(static order => order.Code == OperationCode.AcquireSlot ? 1 : 0).Single();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(order.Slots, Has.Count.EqualTo(2).And.Not.Member(LockKey.Of("a")));
            Assert.That(limited.Grants[0], Is.Not.Null);
            Assert.That(waiting.Grants[0], Is.Null);
            Assert.That(first.Grants[0], Is.Not.Null);
        }
    }

    [TestCase(0, 0), TestCase(1, 1)]
    public void Leaves_no_caller_behind_a_request_for_a_slot_that_was_too_much(int budget, int asked)
    {
        // Those after the first wait for its answer, and are not asked for yet.
        var acquires = Enumerable.Range(0, 3).Select(_ => Enter("a", LockMode.Exclusive, limit: 5, waits: false)).ToList();
        var another = Enter("b", LockMode.Exclusive, waits: false);

        _table.Share.Budget = budget;
        _table.Recovery.TrimToBudget(new JobLocksUnavailableException("too many"));
        var orders = AnswerAll(static _ => 1);
        while (_table.Output.Operations.Count > 0) AnswerAll(static _ => 1);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(orders, Has.Count.EqualTo(asked));
            Assert.That(_table.Output.TakeDone(), Is.EquivalentTo(acquires.Append(another)), "each has its answer");
            Assert.That(another.Failure, Is.Not.Null);
        }
    }

    [Test]
    public void Requests_the_next_slot_where_that_still_fits()
    {
        var first = new AcquireRequest([RequestFor("a", 5), RequestFor("b"), RequestFor("c")], Run, waits: false);
        _table.AddRequest(first);
        var second = Enter("a", LockMode.Exclusive, limit: 5, waits: false);

        _table.Share.Budget = 2;
        _table.Recovery.TrimToBudget(new JobLocksUnavailableException("too many"));
        AnswerAll(static _ => 1);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(first.Failure, Is.Not.Null);
            Assert.That(second.Grants[0], Is.Not.Null);
        }
    }

    private static LockRequest RequestFor(string name, int limit = 1) => new(name, LockKey.Of(name), LockMode.Exclusive, limit);

    private AcquireRequest Enter(string name, LockMode mode, int limit = 1, bool waits = true)
    {
        var acquire = new AcquireRequest([new(name, LockKey.Of(name), mode, limit)], Run, waits);
        _table.AddRequest(acquire);
        return acquire;
    }

    /// <summary>The server's answers to all that is asked so far.</summary>
    private List<LockOperation> AnswerAll(Func<LockOperation, long> answer)
    {
        var orders = _table.Output.TakeOperations(int.MaxValue);
        foreach (var order in orders) order.Result = answer(order);
        foreach (var order in orders) _table.Answered(order, token: 1);
        return orders;
    }

    /// <summary>Releases nothing: the tests give the answers of the server by hand.</summary>
    private sealed class Owner : ILockOwner
    {
        public void Release(LockGrant grant)
        {
        }

        public void OnHandleCollected(LockGrant grant)
        {
        }

        public void CheckClock()
        {
        }
    }
}

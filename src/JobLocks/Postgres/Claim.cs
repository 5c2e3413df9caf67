using System.Diagnostics;
using JobLocks.Gate;

namespace JobLocks.Postgres;

/// <summary>
/// What one caller asks for: all of some locks, or none. Its members change only behind the door of the <see cref="LockDesk"/>;
/// only <see cref="Answer"/> is for the caller.
/// </summary>
internal sealed class Claim(IReadOnlyList<LockWish> wishes, Holder holder, bool waits)
{
    /// <summary>The answer when nothing was refused.</summary>
    public const int Granted = -1;

    // A continuation that ran in place would hold up the session.
    private readonly TaskCompletionSource<int> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary><see cref="Granted"/>, or the first wish that was refused. A thread may block on it: no other thread is needed to complete it.</summary>
    public Task<int> Answer => _answer.Task;

    /// <summary>By key, the same order for everybody.</summary>
    public IReadOnlyList<LockWish> Wishes => wishes;

    public Holder Holder => holder;

    /// <summary>Stands in line instead of being refused. Such a claim has one wish.</summary>
    public bool Waits => waits;

    /// <summary>Where the caller asks; null where that is not captured.</summary>
    public StackTrace? Stack { get; init; }

    /// <summary>Who goes first, of those who stand in the line: see <see cref="Turn"/>.</summary>
    public long Before { get; set; }

    /// <summary>The lock for which its turn has come; null for none.</summary>
    public LockKey? ComesFor { get; init; }

    /// <summary>Whether it was refused for the sake of those who stand in the line, and not because somebody has the lock.</summary>
    public bool IsBehind { get; set; }

    /// <summary>Its number in the order of arrival.</summary>
    public long Arrival { get; set; }

    /// <summary>Its element in the list of the waiting claims of its key; null while it is not in that list.</summary>
    public LinkedListNode<Claim>? Node { get; set; }

    /// <summary>Those granted so far, by wish.</summary>
    public LockGrant?[] Grants { get; } = new LockGrant?[wishes.Count];

    /// <summary>How many wishes have no answer yet.</summary>
    public int Open { get; set; } = wishes.Count;

    public int Refused { get; set; } = Granted;

    /// <summary>Whether the session has been told, and has not answered yet.</summary>
    public bool IsAsked { get; set; }

    /// <summary>The caller has gone: what is granted now is given back.</summary>
    public bool IsAbandoned { get; set; }

    /// <summary>Asked of a session that broke before it answered.</summary>
    public bool WasCutOff { get; set; }

    /// <summary>What the caller is told when all wishes are answered; null for a plain answer.</summary>
    public Exception? Failure { get; set; }

    /// <summary>Who goes first, of those who stand in the line of one of its wishes: of several locks, its turn has come for one.</summary>
    public long BeforeOf(int wish) => wishes[wish].Key == ComesFor ? Turn.HasCome : Before;

    public void Complete()
    {
        if (Failure is null) _answer.TrySetResult(Refused);
        else _answer.TrySetException(Failure);
    }
}

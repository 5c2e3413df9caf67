using System.Text;

namespace JobLocks.Rules;

/// <summary>A lock as the author of a job declares it: by an attribute, or by a call of <c>WithJobLock</c>. Not checked.</summary>
/// <param name="Name">The template as written; null for the canonical name.</param>
/// <param name="OnConflict">What happens to a run when the lock is held.</param>
/// <param name="RetryAfterSeconds">For <see cref="OnConflict.Reschedule"/>: seconds until the next attempt.</param>
internal sealed record LockDeclaration(string? Name, OnConflict OnConflict, int RetryAfterSeconds)
{
    public const int DefaultRetryAfterSeconds = 15;

    /// <summary>Which other holders the lock excludes.</summary>
    public LockMode Mode { get; init; }

    /// <summary>How many runs may hold the lock at once.</summary>
    public int Limit { get; init; } = 1;

    /// <summary>For <see cref="OnConflict.Wait"/>: the longest wait, in seconds; 0 for no limit.</summary>
    public int WaitAtMostSeconds { get; init; }

    /// <summary>For <see cref="OnConflict.Wait"/>: how many runs may wait for one lock name; 0 for no limit.</summary>
    public int KeepWaiting { get; init; }

    /// <summary>For <see cref="KeepWaiting"/>: whether a further run replaces the oldest waiting run.</summary>
    public bool KeepNewest { get; init; }

    /// <summary>Whether the declaration has a name. An empty name is a mistake; without a name, the canonical name is used.</summary>
    public bool HasName { get; init; } = Name is not null;

    /// <summary>Whether the declaration is an attribute; false for <c>WithJobLock(…)</c>.</summary>
    public bool IsAttribute { get; init; } = true;

    /// <summary>The declaration as its author wrote it, for error messages.</summary>
    public override string ToString()
    {
        var members = new List<string>();
        if (HasName) members.Add(Name is null ? "null" : $"\"{Name}\"");
        if (OnConflict != OnConflict.Wait) members.Add($"{Member(nameof(OnConflict))}OnConflict.{OnConflict}");
        if (Mode != LockMode.Exclusive) members.Add($"{Member(nameof(Mode))}LockMode.{Mode}");
        if (Limit != 1) members.Add($"{Member(nameof(Limit))}{Limit}");
        if (WaitAtMostSeconds != 0) members.Add($"{Member(nameof(WaitAtMostSeconds))}{WaitAtMostSeconds}");
        if (KeepWaiting != 0) members.Add($"{Member(nameof(KeepWaiting))}{KeepWaiting}");
        if (KeepNewest) members.Add($"{Member(nameof(KeepNewest))}true");
        if (RetryAfterSeconds != DefaultRetryAfterSeconds) members.Add($"{Member(nameof(RetryAfterSeconds))}{RetryAfterSeconds}");

        var text = new StringBuilder(IsAttribute ? "[JobLock" : "WithJobLock");
        if (members.Count > 0 || !IsAttribute) text.Append('(').AppendJoin(", ", members).Append(')');
        return text.Append(IsAttribute ? "]" : "").ToString();
    }

    private string Member(string property) =>
        IsAttribute ? $"{property} = " : $"{char.ToLowerInvariant(property[0])}{property[1..]}: ";
}

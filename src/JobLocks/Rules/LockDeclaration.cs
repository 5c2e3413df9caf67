using System.Text;

namespace JobLocks.Rules;

/// <summary>What a job's author wrote: an attribute, or a call of <c>WithJobLock</c>. Nothing is checked yet.</summary>
/// <param name="Name">The template as written; null for the canonical name.</param>
/// <param name="OnConflict">What happens when somebody else holds the lock.</param>
/// <param name="RetryAfterSeconds">For <see cref="OnConflict.Reschedule"/>: seconds until the next try.</param>
internal sealed record LockDeclaration(string? Name, OnConflict OnConflict, int RetryAfterSeconds)
{
    public const int DefaultRetryAfterSeconds = 15;

    public LockMode Mode { get; init; }

    /// <summary>How many runs may have the lock at once.</summary>
    public int Limit { get; init; } = 1;

    /// <summary>For <see cref="OnConflict.Wait"/>: how long at most; 0 for as long as it takes.</summary>
    public int WaitAtMostSeconds { get; init; }

    /// <summary>For <see cref="OnConflict.Wait"/>: how many runs may wait under one name; 0 for all.</summary>
    public int KeepWaiting { get; init; }

    /// <summary>For <see cref="KeepWaiting"/>: whether the oldest one gives way to a further run.</summary>
    public bool KeepNewest { get; init; }

    /// <summary>Whether a name was given at all: an empty one is a mistake, none is the canonical name.</summary>
    public bool HasName { get; init; } = Name is not null;

    /// <summary>False for <c>WithJobLock(…)</c>.</summary>
    public bool IsAttribute { get; init; } = true;

    /// <summary>As its author wrote it, for error messages.</summary>
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

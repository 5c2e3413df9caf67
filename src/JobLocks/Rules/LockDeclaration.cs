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

    /// <summary>Whether a name was given at all: an empty one is a mistake, none is the canonical name.</summary>
    public bool HasName { get; init; } = Name is not null;

    /// <summary>False for <c>WithJobLock(…)</c>.</summary>
    public bool IsAttribute { get; init; } = true;

    /// <summary>As its author wrote it, for error messages.</summary>
    public override string ToString()
    {
        var members = new List<string>();
        if (HasName) members.Add(Name is null ? "null" : $"\"{Name}\"");
        if (OnConflict != OnConflict.Reschedule) members.Add($"{Member(nameof(OnConflict))}OnConflict.{OnConflict}");
        if (Mode != LockMode.Exclusive) members.Add($"{Member(nameof(Mode))}LockMode.{Mode}");
        if (Limit != 1) members.Add($"{Member(nameof(Limit))}{Limit}");
        if (RetryAfterSeconds != DefaultRetryAfterSeconds) members.Add($"{Member(nameof(RetryAfterSeconds))}{RetryAfterSeconds}");

        var text = new StringBuilder(IsAttribute ? "[JobLock" : "WithJobLock");
        if (members.Count > 0 || !IsAttribute) text.Append('(').AppendJoin(", ", members).Append(')');
        return text.Append(IsAttribute ? "]" : "").ToString();
    }

    private string Member(string property) =>
        IsAttribute ? $"{property} = " : $"{char.ToLowerInvariant(property[0])}{property[1..]}: ";
}

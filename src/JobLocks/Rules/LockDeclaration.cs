using System.Text;

namespace JobLocks.Rules;

/// <summary>
/// A lock as the author of a job declares it: by an attribute, or by a call of <c>WithJobLock</c>. Not checked. The attributes of all schedulers keep their
/// properties in it.
/// </summary>
/// <param name="Name">The template as written. <see cref="HasName"/> says whether there is one; without it the default name is used.</param>
/// <param name="OnConflict">What happens to a run when the lock is held.</param>
/// <param name="RetryAfterSeconds">For <see cref="OnConflict.Reschedule"/>: seconds until the next attempt.</param>
internal sealed record LockDeclaration(string? Name, OnConflict OnConflict, int RetryAfterSeconds)
{
    public const int DefaultRetryAfterSeconds = 15;

    /// <summary>The declaration without any argument: the default name, and the default of each setting.</summary>
    public static LockDeclaration Default { get; } = new(Name: null, OnConflict.Wait, DefaultRetryAfterSeconds);

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

    /// <summary>Whether the declaration has a name. An empty name is a mistake; without a name, the default name is used.</summary>
    public bool HasName { get; init; } = Name is not null;

    /// <summary>Whether the declaration is an attribute; false for <c>WithJobLock(…)</c>.</summary>
    public bool IsAttribute { get; init; } = true;

    /// <summary>The value of the property <c>Name</c> of an attribute. Null only for the default name.</summary>
    public string? NameProperty => HasName ? Name ?? "" : null;

    /// <summary>Whether a serializer has set the name, and <see cref="EndReading"/> was not called since.</summary>
    private bool NameWasRead { get; init; }

    /// <summary>The declaration with the name that a serializer has read.</summary>
    public LockDeclaration WithReadName(string? name) => this with { Name = name, HasName = name is not null, NameWasRead = true };

    /// <summary>Checks that a serializer has read the name. Without its name, the attribute would lock another name.</summary>
    /// <exception cref="JobLockRuleException">The name was not read.</exception>
    public LockDeclaration EndReading() => NameWasRead
        ? this with { NameWasRead = false }
        : throw new JobLockRuleException(
            "A [JobLock] attribute was read from JSON without its Name, so it would take another lock. "
            + "Add \"Name\": \"…\" to the JSON as the attribute was declared, or \"Name\": null where it was declared without a name.");

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

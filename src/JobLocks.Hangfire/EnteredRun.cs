using JobLocks.Gate;

namespace JobLocks.Hangfire;

/// <summary>What a run carries from its admission to its end.</summary>
/// <param name="EnteredBy">The attribute that asked: of several on one job, the outermost, whose end comes last.</param>
/// <param name="AskedFor">All attributes that this admission answers.</param>
/// <param name="Call">What was asked.</param>
/// <param name="Admitted">To be disposed when the run is over.</param>
/// <param name="Watch">Stops the run where it can be stopped; to be disposed first.</param>
internal sealed record EnteredRun(JobLockAttribute EnteredBy, IReadOnlyList<JobLockAttribute> AskedFor, JobCall Call, Admission.Admitted Admitted, RunWatch? Watch)
{
    private const string ItemKey = "JobLocks.Entered";

    /// <summary>Mostly one: more only where attributes reached Hangfire on different ways.</summary>
    public static List<EnteredRun> AllOf(IDictionary<string, object?> items)
    {
        if (items.TryGetValue(ItemKey, out var item) && item is List<EnteredRun> entered) return entered;

        entered = [];
        items[ItemKey] = entered;
        return entered;
    }

    /// <summary>Whether the lock that a further call of the same run asks for is held already.</summary>
    public bool Holds(JobCall further)
    {
        var held = Call.Rules.Select(rule => rule.NameFor(Call));
        return further.Rules.All(rule => held.Contains(rule.NameFor(further), StringComparer.Ordinal));
    }
}

using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>A parent with a child for each outcome that it can come to.</summary>
public abstract class FamilyFixture : MechanismFixture
{
    private protected const string Parent = "parent";

    private static readonly ContinuationCondition[] Conditions =
    [
        ContinuationCondition.OnSuccess, ContinuationCondition.OnFailure, ContinuationCondition.OnCancellation, ContinuationCondition.OnVeto,
        ContinuationCondition.OnAnyOutcome,
    ];

    private readonly List<string> _ran = [];

    /// <summary>The jobs that ran, in order.</summary>
    private protected IReadOnlyList<string> Ran
    {
        get
        {
            lock (_ran) return [.. _ran];
        }
    }

    /// <summary>What the parent's run does.</summary>
    private protected Func<Run, Task> ParentDoes { get; set; } = null!;

    [SetUp]
    public void RecordRuns()
    {
        _ran.Clear();
        ParentDoes = static _ => Task.CompletedTask;
        Scene.Act = run =>
        {
            var job = run.Context.JobDetail.Key.Name;
            lock (_ran) _ran.Add(job);
            return job is Parent ? ParentDoes(run) : Task.CompletedTask;
        };
    }

    private protected static string[] Expected(ContinuationCondition outcome) => [outcome.ToString(), nameof(ContinuationCondition.OnAnyOutcome)];

    /// <summary>Schedules the parent and its children together.</summary>
    private protected async Task ScheduleFamilyAsync(Watched node, Type parent, Action<TriggerBuilder<IJob>>? set = null)
    {
        var family = Conditions.ToDictionary(
            static condition => Job(typeof(PlainJob), job => job.WithIdentity(condition.ToString())),
            IReadOnlyCollection<ITrigger> (condition) => [Trigger(trigger => trigger.WithIdentity(condition.ToString()).StartAfter(new(Parent), condition))]);
        family[Job(parent, static job => job.WithIdentity(Parent))] = [Trigger(trigger =>
        {
            trigger.WithIdentity(Parent);
            set?.Invoke(trigger);
        })];
        await node.Scheduler.ScheduleJobs(family);
    }

    private protected async Task AllChildrenAwaitAsync(Watched node)
    {
        Assert.That(await StatesAsync(node), Is.All.EqualTo(TriggerState.Awaiting), "the children while the parent is put off");
        Assert.That(Ran, Is.Empty);
    }

    /// <summary>The children that run until all of them are settled.</summary>
    private protected async Task<IReadOnlyList<string>> ChildrenThatRunAsync(Watched node)
    {
        await Eventually.IsTrueOf(
            async () => string.Join(' ', await StatesAsync(node)),
            static states => states.Split(' ').All(static state => state is nameof(TriggerState.None) or nameof(TriggerState.Error)),
            "the children are settled");
        return [.. Ran.Where(static job => job is not Parent).Intersect(Conditions.Select(static condition => condition.ToString()), StringComparer.Ordinal).OrderBy(static job => (int)Enum.Parse<ContinuationCondition>(job))];
    }

    private static async Task<IReadOnlyList<TriggerState>> StatesAsync(Watched node)
    {
        var states = new List<TriggerState>();
        foreach (var condition in Conditions) states.Add(await node.Scheduler.GetTriggerState(new(condition.ToString())));
        return states;
    }
}

using JobLocks.Naming;
using JobLocks.Primitives;

namespace JobLocks.Rules;

/// <summary>A declaration that was checked against its job: it can name the lock of each run. Thread-safe.</summary>
internal sealed class LockRule
{
    private const int LargestLimit = 1000;

    private readonly LockDeclaration _declaration;
    private readonly LockNameTemplate? _template;

    private LockRule(LockDeclaration declaration, LockNameTemplate? template, JobSignature job)
    {
        Template = template is null ? job.DisplayName : declaration.Name!;
        _declaration = declaration;
        _template = template;
    }

    /// <summary>What all its names have in common: the template as it was written, or the method.</summary>
    public string Template { get; }

    public LockMode Mode => _declaration.Mode;

    public int Limit => _declaration.Limit;

    public OnConflict OnConflict => _declaration.OnConflict;

    public TimeSpan RetryAfter => TimeSpan.FromSeconds(_declaration.RetryAfterSeconds);

    public WaitRules Wait => new(
        _declaration.WaitAtMostSeconds == 0 ? null : TimeSpan.FromSeconds(_declaration.WaitAtMostSeconds), _declaration.KeepWaiting, _declaration.KeepNewest);

    /// <summary>Checks a declaration against its job.</summary>
    /// <exception cref="JobLockRuleException">It cannot work.</exception>
    public static LockRule For(LockDeclaration declaration, JobSignature job)
    {
        try
        {
            if (!Enum.IsDefined(declaration.OnConflict))
                throw new FormatException($"has an unknown {nameof(OnConflict)}. Use one of {string.Join(", ", Enum.GetNames<OnConflict>())}.");
            if (declaration.RetryAfterSeconds < 1)
                throw new FormatException($"has RetryAfterSeconds = {declaration.RetryAfterSeconds}, but a run cannot be tried again in the past or at once. Use 1 or more.");

            if (!Enum.IsDefined(declaration.Mode))
                throw new FormatException($"has an unknown {nameof(Mode)}. Use one of {string.Join(", ", Enum.GetNames<LockMode>())}.");
            if (declaration.Limit is < 1 or > LargestLimit)
                throw new FormatException($"has Limit = {declaration.Limit}, but that many runs cannot be let in at once. Use 1 to {LargestLimit}.");
            if (declaration is { Limit: > 1, Mode: LockMode.Shared })
                throw new FormatException($"has both Mode = LockMode.Shared and Limit = {declaration.Limit}, but a limit counts runs that exclude each other. Leave one of them out.");

            if (declaration.WaitAtMostSeconds < 0)
                throw new FormatException($"has WaitAtMostSeconds = {declaration.WaitAtMostSeconds}, but a run cannot wait for less than no time. Use 1 or more, or 0 for as long as it takes.");
            if (declaration.KeepWaiting < 0)
                throw new FormatException($"has KeepWaiting = {declaration.KeepWaiting}, but that many runs cannot wait. Use 1 or more, or 0 for all.");
            if (declaration is { KeepNewest: true, KeepWaiting: 0 })
                throw new FormatException("has KeepNewest, but says not how many runs may wait: all do. Set KeepWaiting too, or leave KeepNewest out.");
            if (declaration.OnConflict != OnConflict.Wait && WaitSetting(declaration) is { } setting)
                throw new FormatException($"has {setting}, but OnConflict = OnConflict.{declaration.OnConflict}, with which no run waits. Leave one of them out.");

            var template = declaration.HasName ? LockNameTemplate.Parse(declaration.Name ?? "") : null;
            template?.Check(job);
            return new(declaration, template, job);
        }
        catch (FormatException problem)
        {
            throw Broken(declaration, job, problem);
        }
    }

    /// <summary>As its author wrote it.</summary>
    public override string ToString() => _declaration.ToString();

    /// <summary>The lock name of a run, without the scope.</summary>
    /// <exception cref="JobLockRuleException">The run lacks what the name is made of.</exception>
    public string NameFor(JobInvocation call)
    {
        try
        {
            return _template is null ? CanonicalName.Of(call) : _template.Fill(call);
        }
        catch (FormatException problem)
        {
            throw Broken(_declaration, call.Job, problem);
        }
    }

    /// <summary>The key of a name that this rule gave.</summary>
    /// <exception cref="JobLockRuleException">The name is no valid text.</exception>
    public LockKey KeyFor(string name, JobInvocation call)
    {
        try
        {
            return LockKey.Of(name);
        }
        catch (ArgumentException problem)
        {
            throw Broken(_declaration, call.Job, new FormatException($"gives no usable name for this run: {problem.Message}", problem));
        }
    }

    private static string? WaitSetting(LockDeclaration declaration) =>
        declaration.WaitAtMostSeconds != 0 ? nameof(declaration.WaitAtMostSeconds) : declaration.KeepWaiting != 0 ? nameof(declaration.KeepWaiting) : null;

    private static JobLockRuleException Broken(LockDeclaration declaration, JobSignature job, FormatException problem) =>
        new($"{DisplayText.Cut(declaration.ToString())} on {DisplayText.Cut(job.DisplayName, DisplayText.LongestRun)} {DisplayText.Cut(problem.Message, DisplayText.LongestMessage / 2)}", problem);
}

using JobLocks.Naming;
using JobLocks.Primitives;

namespace JobLocks.Rules;

/// <summary>A declaration that was checked against its job, and that can name the lock of each run. Thread-safe.</summary>
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

    /// <summary>The template of its lock names as it was written; without one, the display name of the job. Metrics and traces use it.</summary>
    public string Template { get; }

    public LockMode Mode => _declaration.Mode;

    public int Limit => _declaration.Limit;

    public OnConflict OnConflict => _declaration.OnConflict;

    public TimeSpan RetryAfter => TimeSpan.FromSeconds(_declaration.RetryAfterSeconds);

    public WaitRules Wait => new(
        _declaration.WaitAtMostSeconds == 0 ? null : TimeSpan.FromSeconds(_declaration.WaitAtMostSeconds), _declaration.KeepWaiting, _declaration.KeepNewest);

    /// <summary>Checks a declaration against its job.</summary>
    /// <exception cref="JobLockRuleException">The declaration is wrong.</exception>
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
                throw new FormatException($"has Limit = {declaration.Limit}, but the limit must allow at least one run and at most {LargestLimit}. Use 1 to {LargestLimit}.");
            if (declaration is { Limit: > 1, Mode: LockMode.Shared })
                throw new FormatException($"has both Mode = LockMode.Shared and Limit = {declaration.Limit}, but a limit counts runs that exclude each other. Leave one of them out.");

            if (declaration.WaitAtMostSeconds < 0)
                throw new FormatException($"has WaitAtMostSeconds = {declaration.WaitAtMostSeconds}, but a run cannot wait for less than no time. Use 1 or more, or 0 for as long as it takes.");
            if (declaration.KeepWaiting < 0)
                throw new FormatException($"has KeepWaiting = {declaration.KeepWaiting}, but that many runs cannot wait. Use 1 or more, or 0 for all.");
            if (declaration is { KeepNewest: true, KeepWaiting: 0 })
                throw new FormatException("has KeepNewest, but does not say how many runs may wait, so all may. Set KeepWaiting too, or leave KeepNewest out.");
            if (declaration.OnConflict != OnConflict.Wait && UsedWaitSetting(declaration) is { } setting)
                throw new FormatException($"has {setting}, but OnConflict = OnConflict.{declaration.OnConflict}, with which no run waits. Leave one of them out.");

            var template = declaration.HasName ? LockNameTemplate.Parse(declaration.Name ?? "") : null;
            template?.Check(job);
            return new(declaration, template, job);
        }
        catch (FormatException mistake)
        {
            throw RuleError(declaration, job, mistake);
        }
    }

    /// <summary>The declaration as its author wrote it.</summary>
    public override string ToString() => _declaration.ToString();

    /// <summary>The lock name of a run, without the scope.</summary>
    /// <exception cref="JobLockRuleException">The run lacks an argument of the name, or the argument has no usable text.</exception>
    public string NameFor(JobInvocation call)
    {
        try
        {
            return _template is null ? DefaultName.Of(call) : _template.Fill(call);
        }
        catch (FormatException mistake)
        {
            throw RuleError(_declaration, call.Job, mistake);
        }
    }

    /// <summary>The key of a lock name that this rule has built.</summary>
    /// <exception cref="JobLockRuleException">The name is empty, or is no valid Unicode text.</exception>
    public LockKey KeyFor(string name, JobInvocation call)
    {
        try
        {
            return LockKey.Of(name);
        }
        catch (ArgumentException mistake)
        {
            throw RuleError(_declaration, call.Job, new FormatException($"gives no usable name for this run: {mistake.Message}", mistake));
        }
    }

    private static string? UsedWaitSetting(LockDeclaration declaration) =>
        declaration.WaitAtMostSeconds != 0 ? nameof(declaration.WaitAtMostSeconds) : declaration.KeepWaiting != 0 ? nameof(declaration.KeepWaiting) : null;

    private static JobLockRuleException RuleError(LockDeclaration declaration, JobSignature job, FormatException mistake) =>
        new($"{DisplayText.Cut(declaration.ToString())} on {DisplayText.Cut(job.DisplayName, DisplayText.LongestRun)} {DisplayText.Cut(mistake.Message, DisplayText.LongestMessage / 2)}", mistake);
}

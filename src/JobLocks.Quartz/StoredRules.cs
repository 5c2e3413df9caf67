using System.Text.Json;
using JobLocks.Naming;
using JobLocks.Rules;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>
/// Rules of <c>WithJobLock</c>, stored in a data map as text, because some stores keep only text. Each rule is one entry, with its lock name in the key.
/// This is a storage format: other versions of this library read it.
/// </summary>
internal static class StoredRules
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);

    /// <summary>Checks a rule and writes it as an entry of a data map.</summary>
    /// <param name="job">The job's class, for the error message.</param>
    /// <param name="declared">The rule.</param>
    /// <exception cref="JobLockRuleException">The rule is invalid.</exception>
    public static KeyValuePair<string, string> Entry(Type job, LockDeclaration declared)
    {
        LockRule.For(declared, JobSignature.Of(job));
        var rule = new StoredRule(declared.Name, declared.OnConflict.ToString(), declared.RetryAfterSeconds, declared.Mode.ToString(), declared.Limit, declared.WaitAtMostSeconds, declared.KeepWaiting, declared.KeepNewest);
        return new(DataKeys.Rule + declared.Name, JsonSerializer.Serialize(rule, Json));
    }

    /// <summary>The rules in a data map, ordered by their keys, because a data map has no order.</summary>
    /// <exception cref="JobLockRuleException">A rule is invalid, or was not written by this library.</exception>
    public static IEnumerable<LockRule> In(JobDataMap data, JobSignature job) =>
        data.Where(static entry => entry.Key.StartsWith(DataKeys.Rule, StringComparison.Ordinal))
            .OrderBy(static entry => entry.Key, StringComparer.Ordinal)
            .Select(entry => LockRule.For(Read(entry, job), job));

    private static LockDeclaration Read(KeyValuePair<string, object?> entry, JobSignature job)
    {
        try
        {
            if (JsonSerializer.Deserialize<StoredRule>(entry.Value as string ?? "", Json) is { } rule)
            {
                return new(rule.Name, Enum.Parse<OnConflict>(rule.OnConflict), rule.RetryAfterSeconds)
                {
                    IsAttribute = false,
                    Mode = Enum.Parse<LockMode>(rule.Mode),
                    Limit = rule.Limit,
                    WaitAtMostSeconds = rule.WaitAtMostSeconds,
                    KeepWaiting = rule.KeepWaiting,
                    KeepNewest = rule.KeepNewest,
                };
            }
        }
        catch (Exception unreadable) when (unreadable is JsonException or ArgumentException)
        {
            throw Unreadable(entry, job, unreadable);
        }

        throw Unreadable(entry, job, cause: null);
    }

    private static JobLockRuleException Unreadable(KeyValuePair<string, object?> entry, JobSignature job, Exception? cause) =>
        new(
            $"The data of {job.DisplayName} has an entry {entry.Key} that no WithJobLock of this version wrote: \"{entry.Value}\". "
            + "Build the job or the trigger anew, or bring every node to one version.",
            cause);

    /// <summary>The stored format. A field that older versions did not write has its default.</summary>
    private sealed record StoredRule(
        string? Name,
        string OnConflict,
        int RetryAfterSeconds,
        string Mode = nameof(LockMode.Exclusive),
        int Limit = 1,
        int WaitAtMostSeconds = 0,
        int KeepWaiting = 0,
        bool KeepNewest = false);
}

using System.Globalization;
using System.Text;
using JobLocks.Primitives;
using Microsoft.Extensions.Options;

namespace JobLocks;

/// <summary>Validates the options before the first run, and reports all mistakes at once. Thread-safe.</summary>
internal sealed class JobLocksOptionsValidation : IValidateOptions<JobLocksOptions>
{
    private static readonly TimeSpan ShortestHeartbeat = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan ShortestLostAfter = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestLostAfter = TimeSpan.FromHours(1);
    private static readonly TimeSpan ShortestSweep = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestSweep = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan ShortestKept = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestKept = TimeSpan.FromDays(365);
    private static readonly TimeSpan LongestInWorker = TimeSpan.FromSeconds(5);
    private const int LargestWaitQueue = 1_000_000;

    public ValidateOptionsResult Validate(string? name, JobLocksOptions options)
    {
        var errors = new ValidateOptionsResultBuilder();

        if (options.Scope is not null && string.IsNullOrWhiteSpace(options.Scope))
            errors.AddError("is empty. Leave it null for no scope, or name the application, such as \"billing\".", nameof(JobLocksOptions.Scope));

        else if (options.Scope?.Contains(':', StringComparison.Ordinal) == true)
            errors.AddError($"is \"{DisplayText.Name(options.Scope)}\", but the colon ends the scope: with one inside, two scopes could give one name. Use another character.", nameof(JobLocksOptions.Scope));

        if (string.IsNullOrWhiteSpace(options.ApplicationName))
            errors.AddError("is empty. Name the application, or leave the default.", nameof(JobLocksOptions.ApplicationName));
        else if (Encoding.UTF8.GetByteCount(options.ApplicationName) > ProcessName.MaxBytes)
            errors.AddError(
                $"has {Encoding.UTF8.GetByteCount(options.ApplicationName)} bytes, but PostgreSQL keeps only {ProcessName.MaxBytes}: \"{DisplayText.Name(options.ApplicationName)}\". Shorten it.",
                nameof(JobLocksOptions.ApplicationName));

        if (options.Schema is not null && string.IsNullOrWhiteSpace(options.Schema))
            errors.AddError("is empty. Name a schema, or set it to null to use none.", nameof(JobLocksOptions.Schema));
        else if (options.Schema is not null && Encoding.UTF8.GetByteCount(options.Schema) > ProcessName.MaxBytes)
            errors.AddError($"is longer than the {ProcessName.MaxBytes} bytes that PostgreSQL keeps: \"{DisplayText.Name(options.Schema)}\". Shorten it.", nameof(JobLocksOptions.Schema));

        if (options.SchemaOwner is not null && string.IsNullOrWhiteSpace(options.SchemaOwner))
            errors.AddError("is empty. Name the role that keeps the schema, or leave it null.", nameof(JobLocksOptions.SchemaOwner));

        if (options.LostAfter < ShortestLostAfter || options.LostAfter > LongestLostAfter)
            errors.AddError(
                $"must be from {ShortestLostAfter} to {LongestLostAfter}, but is {options.LostAfter}. Thirty seconds are a good start.",
                nameof(JobLocksOptions.LostAfter));

        if (options.HeartbeatInterval < ShortestHeartbeat || options.HeartbeatInterval > options.LostAfter / 3)
            errors.AddError(
                $"must be from {ShortestHeartbeat} to a third of {nameof(JobLocksOptions.LostAfter)} ({options.LostAfter}), but is {options.HeartbeatInterval}. "
                + "LostAfter must contain several heartbeats: otherwise one late heartbeat loses all locks.",
                nameof(JobLocksOptions.HeartbeatInterval));

        if (options.SweepInterval < ShortestSweep || options.SweepInterval > LongestSweep)
            errors.AddError($"must be from {ShortestSweep} to {LongestSweep}, but is {options.SweepInterval}. One second is a good start.", nameof(JobLocksOptions.SweepInterval));

        if (options.LongestWaitQueue is < 1 or > LargestWaitQueue)
            errors.AddError($"must be from 1 to 1,000,000, but is {options.LongestWaitQueue}.", nameof(JobLocksOptions.LongestWaitQueue));

        if (options.LongestWaitInWorker < TimeSpan.Zero || options.LongestWaitInWorker > LongestInWorker)
            errors.AddError($"must be from 0 to {LongestInWorker}, but is {options.LongestWaitInWorker}. Half a second is a good start.", nameof(JobLocksOptions.LongestWaitInWorker));

        if (options.LargestWaitingShare is not (>= 0 and <= 1))
            errors.AddError($"must be from 0 to 1, but is {options.LargestWaitingShare.ToString(CultureInfo.InvariantCulture)}. A quarter is a good start.", nameof(JobLocksOptions.LargestWaitingShare));

        if (options.KeepUnservedFor < ShortestKept || options.KeepUnservedFor > LongestKept)
            errors.AddError($"must be from {ShortestKept} to {LongestKept}, but is {options.KeepUnservedFor}. One day is a good start.", nameof(JobLocksOptions.KeepUnservedFor));

        return errors.Build();
    }
}

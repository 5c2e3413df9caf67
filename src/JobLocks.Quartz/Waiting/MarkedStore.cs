using JobLocks.WaitQueue;
using Quartz;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// A name that is kept in the store itself, as the data of a durable job that never runs. For stores whose location cannot be read from a database. If the job
/// is deleted, a process that knows the name writes it again. A copy of the store has the same name as the original. Thread-safe.
/// </summary>
internal sealed class MarkedStore(IStoredTriggers triggers) : IStoreName
{
    // All nodes of a cluster find this job; other schedulers do not.
    private static readonly JobKey Mark = new("store", StandIn.Group);

    private volatile string? _name;

    public OtherStoreIds Earlier => OtherStoreIds.None;

    public async ValueTask<string> ReadAsync(string? known, CancellationToken stop)
    {
        if (!await triggers.IsPersistentAsync(stop).ConfigureAwait(false)) return known ?? Guid.NewGuid().ToString("N");
        if (await ReadAsync(stop).ConfigureAwait(false) is { } name) return _name = name;

        try
        {
            await triggers.AddJobAsync(NewMark(_name ?? Guid.NewGuid().ToString("N")), stop).ConfigureAwait(false);
        }
        catch (ObjectAlreadyExistsException)
        {
            // Another node has added the job meanwhile.
        }

        return _name = await ReadAsync(stop).ConfigureAwait(false) ?? throw new SchedulerException($"The job {Mark} was stored, but is not there.");
    }

    /// <summary>Replaces the name in the mark, so that nodes that know the store only by its mark use the name that all other nodes use.</summary>
    /// <returns>The replaced name; null if there is no mark, or it already has this name.</returns>
    public async ValueTask<string?> ReplaceNameAsync(string name, CancellationToken stop)
    {
        if (await ReadAsync(stop).ConfigureAwait(false) is not { } before || string.Equals(before, name, StringComparison.Ordinal)) return null;

        await triggers.ReplaceJobAsync(NewMark(name), stop).ConfigureAwait(false);
        return before;
    }

    private static IJobDetail NewMark(string name) => JobBuilder.Create<StoreMark>()
        .WithIdentity(Mark)
        .WithDescription("Names this job store for JobLocks, so that the runs of it that wait are found. It never runs.")
        .UsingJobData(DataKeys.Store, name)
        .StoreDurably()
        .Build();

    private async ValueTask<string?> ReadAsync(CancellationToken stop) =>
        await triggers.FindJobAsync(Mark, stop).ConfigureAwait(false) is { } mark ? mark.JobDataMap[DataKeys.Store] as string : null;
}

using JobLocks.WaitQueue;
using Quartz;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// An id that is kept in the store itself, as the data of a durable job that never runs. For stores whose location cannot be read from a database. If the job
/// is deleted, a process that knows the id writes it again. A copy of the store has the same id as the original. Thread-safe.
/// </summary>
internal sealed class StoreIdInJob(IStoredTriggers triggers) : IStoreId
{
    // All nodes of a cluster find this job; other schedulers do not.
    private static readonly JobKey Key = new("store", StandIn.Group);

    private volatile string? _id;

    public OtherStoreIds OtherIds => OtherStoreIds.None;

    public async ValueTask<string> ReadAsync(string? known, CancellationToken stop)
    {
        if (!await triggers.IsPersistentAsync(stop).ConfigureAwait(false)) return known ?? Guid.NewGuid().ToString("N");
        if (await ReadAsync(stop).ConfigureAwait(false) is { } id) return _id = id;

        try
        {
            await triggers.AddJobAsync(NewJob(_id ?? Guid.NewGuid().ToString("N")), stop).ConfigureAwait(false);
        }
        catch (ObjectAlreadyExistsException)
        {
            // Another node has added the job meanwhile.
        }

        return _id = await ReadAsync(stop).ConfigureAwait(false) ?? throw new SchedulerException($"The job {Key} was stored, but is not there.");
    }

    /// <summary>Replaces the id in the job, so that nodes that know the store only by this job use the id that all other nodes use.</summary>
    /// <returns>The replaced id; null if there is no such job, or it already has this id.</returns>
    public async ValueTask<string?> ReplaceIdAsync(string id, CancellationToken stop)
    {
        if (await ReadAsync(stop).ConfigureAwait(false) is not { } before || string.Equals(before, id, StringComparison.Ordinal)) return null;

        await triggers.ReplaceJobAsync(NewJob(id), stop).ConfigureAwait(false);
        return before;
    }

    private static IJobDetail NewJob(string id) => JobBuilder.Create<StoreMark>()
        .WithIdentity(Key)
        .WithDescription("Names this job store for JobLocks, so that the runs of it that wait are found. It never runs.")
        .UsingJobData(DataKeys.Store, id)
        .StoreDurably()
        .Build();

    private async ValueTask<string?> ReadAsync(CancellationToken stop) =>
        await triggers.FindJobAsync(Key, stop).ConfigureAwait(false) is { } job ? job.JobDataMap[DataKeys.Store] as string : null;
}

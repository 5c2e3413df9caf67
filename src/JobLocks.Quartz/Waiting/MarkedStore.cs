using JobLocks.WaitQueue;
using Quartz;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// A name that the store keeps itself, as the data of a durable job that never runs: for stores whose database cannot be asked where it is. Where the job
/// was deleted, a process that knows the name writes it down again; a copy of the store has the same name as the original. Thread-safe.
/// </summary>
internal sealed class MarkedStore(IStoredTriggers triggers) : IStoreName
{
    // All nodes of a cluster find it, and no other scheduler.
    private static readonly JobKey Mark = new("store", StandIn.Group);

    private volatile string? _name;

    public EarlierNames Earlier => EarlierNames.None;

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
            // Another node was quicker.
        }

        return _name = await ReadAsync(stop).ConfigureAwait(false) ?? throw new SchedulerException($"The job {Mark} was stored, but is not there.");
    }

    /// <summary>Has nodes that know the store by its mark alone use another name, which is the same for all nodes.</summary>
    /// <returns>What they have called it until now; null where there is no mark, or it says this name.</returns>
    public async ValueTask<string?> AgreeAsync(string name, CancellationToken stop)
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

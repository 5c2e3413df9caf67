using Hangfire.States;
using Hangfire.Storage;
using JobLocks;
using Npgsql;
using Quartz;

namespace ClientSync;

/// <summary>Counts what was refused, for the table at the end: one listener in each scheduler.</summary>
internal sealed class RefusalRecorder(NpgsqlDataSource database, ServerName server) : IApplyStateFilter, IJobListener
{
    private static readonly string[] Refusals = ["Waiting", "Skipped", "Rescheduled", "Failed"];

    public void OnStateApplied(ApplyStateContext context, IWriteOnlyTransaction transaction)
    {
        if (context.NewState.Reason is not { } reason || !Array.Exists(Refusals, refusal => reason.StartsWith(refusal, StringComparison.Ordinal))) return;

        using var command = database.CreateCommand(Tables.Refuse);
        foreach (var value in new[] { context.BackgroundJob.Job.Args[0], "Hangfire", server.Name, reason }) command.Parameters.Add(new() { Value = value });
        command.ExecuteNonQuery();
    }

    public void OnStateUnapplied(ApplyStateContext context, IWriteOnlyTransaction transaction)
    {
        // Only where a job goes is counted.
    }

    public async ValueTask JobExecutionVetoed(IJobExecutionContext context, CancellationToken cancellationToken = default)
    {
        var declared = (JobLocks.Quartz.JobLockAttribute)context.JobInstance.GetType().GetCustomAttributes(typeof(JobLocks.Quartz.JobLockAttribute), inherit: true)[0];
        var reason = declared.OnConflict switch { OnConflict.Skip => "Skipped", OnConflict.Fail => "Failed", OnConflict.Wait => "Waiting", _ => "Rescheduled" };
        await database.AskAsync(Tables.Refuse, cancellationToken, context.MergedJobDataMap.GetInt("clientId"), "Quartz", server.Name, reason);
    }
}

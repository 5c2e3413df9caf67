using Microsoft.Extensions.Logging;

namespace JobLocks.Diagnostics;

/// <summary>The log messages of the session. Event ids from 200.</summary>
internal static partial class SessionLog
{
    [LoggerMessage(201, LogLevel.Information, "The lock session is open: {Server}, backend {Backend}")]
    public static partial void Opened(this ILogger log, string server, int backend);

    [LoggerMessage(202, LogLevel.Error, "{Count} held locks are lost: their runs are told to stop")]
    public static partial void Broke(this ILogger log, int count, Exception cause);

    [LoggerMessage(204, LogLevel.Warning, "PostgreSQL at {Server} cannot be asked for locks: runs are rescheduled meanwhile")]
    public static partial void CannotOpen(this ILogger log, string server, Exception cause);

    [LoggerMessage(205, LogLevel.Error, "PostgreSQL at {Server} refused a statement: its requests fail, and held locks stay held")]
    public static partial void StatementFailed(this ILogger log, string server, Exception cause);

    [LoggerMessage(206, LogLevel.Warning, "PostgreSQL {Version} cannot end an idle session: the locks of a frozen process, or of one behind a dead network, are freed late. From version 14 on it can")]
    public static partial void OldServer(this ILogger log, int version);

    [LoggerMessage(207, LogLevel.Warning, "Releases by other processes cannot be listened for: waiting takes up to a second longer")]
    public static partial void ListenerBroke(this ILogger log, Exception cause);

    [LoggerMessage(208, LogLevel.Warning, "There are no fencing tokens: this role may not use {Schema}.fence. See the GRANT lines in docs/schema.sql")]
    public static partial void NoFence(this ILogger log, string schema);

    [LoggerMessage(209, LogLevel.Information, "The schema {Schema} is set up, version {Version}")]
    public static partial void SchemaReady(this ILogger log, string schema, int version);

    [LoggerMessage(230, LogLevel.Warning, "The set-up of the schema {Schema} goes on under another internal lock: a program that is not JobLocks holds the usual one. {Holder}")]
    public static partial void SetUpIsBlocked(this ILogger log, string schema, string holder);

    [LoggerMessage(210, LogLevel.Warning, "{Notice}")]
    public static partial void SchemaNotice(this ILogger log, string notice);

    [LoggerMessage(211, LogLevel.Warning, "{LockName} is limited to {Limit} here, but to {OtherLimit} by {Other}. Up to the larger number may run at once: bring both to one number")]
    public static partial void LimitsDiffer(this ILogger log, string lockName, int limit, int otherLimit, string other);

    [LoggerMessage(212, LogLevel.Warning, "No run can wait in the wait queue, and runs that would wait are rescheduled: this role may not use {Schema}.wait_queue. See the GRANT lines in docs/schema.sql")]
    public static partial void NoWaitQueue(this ILogger log, string schema);

    [LoggerMessage(213, LogLevel.Warning, "The holders of this process's locks are not shown: this role may not use {Schema}.holders and what belongs to it. See the GRANT lines in docs/schema.sql")]
    public static partial void NoReadModel(this ILogger log, string schema);

    [LoggerMessage(214, LogLevel.Warning, "No run can enter the wait queue for now, and new runs may bypass waiting runs: another session has locked the table {Schema}.wait_queue, or waits for that lock")]
    public static partial void WaitQueueIsLocked(this ILogger log, string schema);

    [LoggerMessage(215, LogLevel.Information, "Runs can wait in the wait queue again: the table {Schema}.wait_queue is free")]
    public static partial void WaitQueueIsBack(this ILogger log, string schema);

    [LoggerMessage(216, LogLevel.Warning, "PostgreSQL at {Server} cannot notify other processes of releases: they notice a release up to a second later. See pg_notification_queue_usage() there, and look for a session that listens but does not read. Logged again after {Pause} s at the earliest")]
    public static partial void CannotNotify(this ILogger log, string server, double pause, Exception cause);

    [LoggerMessage(217, LogLevel.Warning, "The handle of the lock {LockName} ({LockKey}) was garbage-collected without being disposed, and the lock is released now. It was acquired by {Holder} at {HeldSince:u}. Keep the handle while the lock is needed, and dispose it afterwards. Acquired at: {Stack}")]
    public static partial void HandleCollected(this ILogger log, string lockName, long lockKey, string holder, DateTimeOffset heldSince, string stack);

    [LoggerMessage(218, LogLevel.Warning, "Processes that declare different limits of one name are not noticed: this role lacks a right. GRANT SELECT, INSERT, UPDATE ON {Schema}.declared_limits TO it, see docs/schema.sql")]
    public static partial void NoLimits(this ILogger log, string schema);

    [LoggerMessage(219, LogLevel.Warning, "The pages do not plot the runs of this process, because its role may not write to recent_runs and samples. GRANT SELECT, INSERT, UPDATE, DELETE ON {Schema}.recent_runs, {Schema}.samples TO it, see docs/schema.sql")]
    public static partial void MayNotWritePlots(this ILogger log, string schema);

    [LoggerMessage(234, LogLevel.Warning, "Samples of the locks cannot be taken at {Server}: the plots of the overview lack them until this works again")]
    public static partial void CannotTakeSamples(this ILogger log, string server, Exception cause);

    [LoggerMessage(221, LogLevel.Information, "The schema {Schema} has changed, or what this role may do with it: JobLocks continues with the new state")]
    public static partial void SchemaChanged(this ILogger log, string schema);

    [LoggerMessage(222, LogLevel.Warning, "Locks still work, but runs cannot wait in the wait queue, and holders are not shown: {Reason}")]
    public static partial void SchemaIsGone(this ILogger log, string reason);

    [LoggerMessage(223, LogLevel.Debug, "The schema {Schema} cannot be read at the moment; trying again")]
    public static partial void CannotReadSchema(this ILogger log, string schema, Exception cause);

    [LoggerMessage(231, LogLevel.Information, "The schema {Schema} has not been on this server and timeline before, for example after a fail-over: fencing tokens and entry numbers continue 68,719,476,736 higher, so that none repeats")]
    public static partial void ServerIsNew(this ILogger log, string schema);

    [LoggerMessage(232, LogLevel.Warning, "Fencing tokens can repeat after a fail-over, because this role cannot read the timeline of the server (error {SqlState} from pg_control_system or pg_walfile_name)")]
    public static partial void CannotReadTimeline(this ILogger log, string sqlState);

    [LoggerMessage(233, LogLevel.Warning, "After a fail-over, fencing tokens can repeat: this role may not advance them. GRANT SELECT, INSERT ON {Schema}.servers TO it, and UPDATE ON SEQUENCE {Schema}.fence, {Schema}.entry_numbers, see docs/grants.sql")]
    public static partial void MayNotAdvanceTokens(this ILogger log, string schema);

    [LoggerMessage(235, LogLevel.Warning, "Handles have no fencing tokens for now, because {Schema}.servers cannot be read or written; trying again")]
    public static partial void TokensAreLate(this ILogger log, string schema, Exception cause);
}

using JobLocks.Primitives;

namespace JobLocks;

/// <summary>Settings for the locks of one process. They are validated when the host starts, or by <c>Connect</c> of <see cref="AdvisoryLocks"/>.</summary>
public sealed class JobLocksOptions
{
    /// <summary>The prefix of every lock name. It separates the locks of applications that share a database.</summary>
    /// <value>Default null: no scope. With <c>billing</c>, the name <c>sync(4)</c> becomes <c>billing:sync(4)</c>.</value>
    public string? Scope { get; set; }

    /// <summary>The database schema for the objects of JobLocks: wait queue, fencing tokens, limits, inspection, the SQL function of the key.</summary>
    /// <value>Default <c>joblocks</c>. Null: no schema is created or used. Locks work without it; runs cannot wait in the queue and are rescheduled.</value>
    public string? Schema { get; set; } = "joblocks";

    /// <summary>Whether the schema is created or upgraded when the first session opens.</summary>
    /// <value>Default true. Set it to false where <c>docs/schema.sql</c> was run by hand.</value>
    public bool PrepareSchema { get; set; } = true;

    /// <summary>
    /// A further role that may own the schema. Always accepted are the role of this connection, roles that it is a member of, the owner of the
    /// database, and superusers. Objects of any other role are refused, because triggers and functions on a table run with the rights of the role
    /// that uses the table.
    /// </summary>
    /// <value>Default null: no further role.</value>
    public string? SchemaOwner { get; set; }

    /// <summary>
    /// If the server receives nothing from a process for this time, it releases the locks of that process. The process counts them as lost somewhat earlier.
    /// </summary>
    /// <value>
    /// Default 30 seconds. From 2 seconds to one hour, and at least three times <see cref="HeartbeatInterval"/>. The last sixth of this time remains
    /// for the runs to stop. A server before version 14 cannot end an idle session, so it releases such locks later.
    /// </value>
    public TimeSpan LostAfter { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How often an idle session proves that its connection works.</summary>
    /// <value>Default 5 seconds. From 100 milliseconds to a third of <see cref="LostAfter"/>.</value>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How often a sweep searches for waiting runs whose lock is free, because its holder has died or a wake-up was lost.</summary>
    /// <value>Default 1 second. From 100 milliseconds to one minute.</value>
    public TimeSpan SweepInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How many runs may wait for one lock name. A further run is rescheduled, and its record says so.</summary>
    /// <value>Default 10,000. From 1 to 1,000,000. Each new run counts the runs ahead of it, so a long queue slows down new runs.</value>
    public int LongestWaitQueue { get; set; } = 10_000;

    /// <summary>
    /// For how long a run may wait in its worker for a lock that is likely to be free soon. After that, its job store parks it. Such a wait saves the way
    /// through the job store and back, which takes longer than many jobs do.
    /// </summary>
    /// <value>
    /// Default 500 milliseconds. From zero to five seconds. Zero: each run that has to wait is parked at once. A run waits in its worker only where the runs
    /// ahead of it are likely to end in this time, as far as this process has seen how long the lock is usually held.
    /// </value>
    public TimeSpan LongestWaitInWorker { get; set; } = TimeSpan.FromMilliseconds(500);

    /// <summary>The largest share of the workers of a scheduler in which runs may wait at a time.</summary>
    /// <value>
    /// Default 0.25: with twenty workers, at most five. From 0 to 1. In any case, one worker is left that neither performs a job nor waits, so a scheduler with
    /// fewer than four workers parks all runs by default.
    /// </value>
    public double LargestWaitingShare { get; set; } = 0.25;

    /// <summary>
    /// How long the queue entries of a job store are kept while no process serves that store. Meanwhile all other runs may bypass them. After that
    /// the entries are removed. The runs remain in their store, and wait again when a process serves it. For a store in the memory of a process,
    /// the entries are kept for <see cref="LostAfter"/>.
    /// </summary>
    /// <value>Default one day. From one second to one year. It counts from the moment when a process first sees that the store is not served.</value>
    public TimeSpan KeepUnservedFor { get; set; } = TimeSpan.FromDays(1);

    /// <summary>The name under which this process is shown as the holder of locks: the <c>application_name</c> of its session.</summary>
    /// <value>Default: entry assembly, host and process id, such as <c>ClientSync@web-3:812</c>. At most 63 bytes.</value>
    public string ApplicationName { get; set; } = ProcessName.Default;

    /// <summary>Whether metrics and traces have the lock name as the tag <c>joblocks.lock.name</c>, in addition to the template of the rule.</summary>
    /// <value>Default false: lock names with arguments are unlimited in number, and most metric stores keep a time series for each.</value>
    public bool NamesInTelemetry { get; set; }

    /// <summary>
    /// Whether the stack of the caller is captured for each lock that code acquires by hand. The warning about a <see cref="JobLockHandle"/> that
    /// was not disposed shows it. It costs about ten microseconds for each lock.
    /// </summary>
    /// <value>Default: true where the entry assembly was built without optimisation, as <c>dotnet build</c> does by default; otherwise false.</value>
    public bool CaptureStackOnAcquire { get; set; } = ProcessName.IsDebugBuild;

    /// <summary>How long a woken run precedes later entries. After that it keeps its entry, but other runs may bypass it.</summary>
    internal TimeSpan WakeTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The time between two samples of the held locks and the waiting runs.</summary>
    internal TimeSpan SampleInterval { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the server may stay silent while a session is being opened, once it has accepted the connection.</summary>
    internal TimeSpan OpeningSilenceTimeout { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>Time between the loss in this process and the release by the server.</summary>
    internal TimeSpan LossMargin => LostAfter / 6;
}

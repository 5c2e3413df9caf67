using JobLocks.Primitives;

namespace JobLocks;

/// <summary>Settings of the locks of one process. Checked when the host starts, or by <see cref="AdvisoryLocks"/>' <c>Connect</c>.</summary>
public sealed class JobLocksOptions
{
    /// <summary>Put before every lock name, so that two applications that share a database do not meet by accident.</summary>
    /// <value>Default null: no scope. With <c>billing</c>, the name <c>sync(4)</c> becomes <c>billing:sync(4)</c>.</value>
    public string? Scope { get; set; }

    /// <summary>The schema of our few objects: the fencing tokens, the limits that processes declare, the SQL function of the key.</summary>
    /// <value>Default <c>joblocks</c>. Null: none is created and none is used; locks work all the same.</value>
    public string? Schema { get; set; } = "joblocks";

    /// <summary>Whether the schema is created or upgraded when the first session opens.</summary>
    /// <value>Default true. False: <c>docs/schema.sql</c> was run by hand.</value>
    public bool PrepareSchema { get; set; } = true;

    /// <summary>
    /// The role that keeps the schema, where it is neither the role of this connection, nor one that this role is a member of, nor the owner of the database, nor a
    /// superuser. Triggers and functions of the owner of a table run with the rights of whoever uses it, so objects of other roles are refused.
    /// </summary>
    /// <value>Default null: no other role.</value>
    public string? SchemaOwner { get; set; }

    /// <summary>The server frees the locks of a process that it has not heard from for this long. The process counts them as lost before that.</summary>
    /// <value>
    /// Default 30 seconds. From 2 seconds to one hour, and at least three times <see cref="HeartbeatInterval"/>. The last sixth of it is for
    /// runs to stop in. A server before version 14 cannot do its part.
    /// </value>
    public TimeSpan LostAfter { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How often an idle session proves that its connection still stands.</summary>
    /// <value>Default 5 seconds. From 100 milliseconds to a third of <see cref="LostAfter"/>.</value>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>The latest moment at which a free lock is noticed for which runs wait, where its holder died or a signal was lost.</summary>
    /// <value>Default 1 second. From 100 milliseconds to one minute.</value>
    public TimeSpan SweepInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How many runs may wait in line under one lock name. A further one is rescheduled, and the record says so.</summary>
    /// <value>Default 10,000. From 1 to 1,000,000. Each run that comes counts those before it, so a long line makes coming slower.</value>
    public int LongestWaitQueue { get; set; } = 10_000;

    /// <summary>
    /// How long the places of runs are kept whose job store no process serves, in case one comes back. They let all others past meanwhile. The runs stay
    /// in their store, and wait again when it is served. Stores in the memory of a process are given up after <see cref="LostAfter"/>.
    /// </summary>
    /// <value>Default one day. From one second to one year. Counts from when a process of this application first sees it.</value>
    public TimeSpan KeepUnservedFor { get; set; } = TimeSpan.FromDays(1);

    /// <summary>How this process appears to others as the holder of a lock: the <c>application_name</c> of its session.</summary>
    /// <value>Default: entry assembly, host and process id, such as <c>ClientSync@web-3:812</c>. At most 63 bytes.</value>
    public string ApplicationName { get; set; } = ProcessName.Default;

    /// <summary>Whether metrics and traces carry the name of a lock, as the tag <c>joblocks.lock.name</c>, besides the template of its rule.</summary>
    /// <value>Default false: where names hold arguments there is no end of them, and each is a time series of its own in most stores of metrics.</value>
    public bool NamesInTelemetry { get; set; }

    /// <summary>
    /// Whether each lock that is acquired by hand remembers the stack of its caller, for the warning about a <see cref="JobLockHandle"/> that was
    /// never disposed. Costs some ten microseconds for each lock.
    /// </summary>
    /// <value>Default: true where the entry assembly was built without optimisation, as <c>dotnet build</c> does by default; otherwise false.</value>
    public bool CaptureStackOnAcquire { get; set; } = ProcessName.IsDebugBuild;

    /// <summary>How long a run in the line has time to come when its turn has come. After that it keeps its place, but others may pass.</summary>
    internal TimeSpan TurnLasts { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a server that has let us in may be silent before a session is open.</summary>
    internal TimeSpan OpensWithin { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long before the server the process counts its locks as lost.</summary>
    internal TimeSpan LossMargin => LostAfter / 6;
}

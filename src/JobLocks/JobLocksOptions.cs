namespace JobLocks;

/// <summary>Settings of the locks of one process. Checked when the host starts, or by <see cref="AdvisoryLocks"/>' <c>Connect</c>.</summary>
public sealed class JobLocksOptions
{
    /// <summary>Put before every lock name, so that two applications that share a database do not meet by accident.</summary>
    /// <value>Default null: no scope. With <c>billing</c>, the name <c>sync(4)</c> becomes <c>billing:sync(4)</c>.</value>
    public string? Scope { get; set; }

    /// <summary>How this process appears to others as the holder of a lock: the <c>application_name</c> of its session.</summary>
    /// <value>Default: entry assembly, host and process id, such as <c>ClientSync@web-3:812</c>. At most 63 bytes.</value>
    public string ApplicationName { get; set; } = ProcessName.Default;

    /// <summary>How often an idle session proves that its connection still stands.</summary>
    /// <value>Default 5 seconds. From 100 milliseconds to one hour.</value>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromSeconds(5);
}

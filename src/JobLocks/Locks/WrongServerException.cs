namespace JobLocks.Locks;

/// <summary>The server answers, but it cannot keep our locks, and trying again does not help: somebody must change a setting.</summary>
internal sealed class WrongServerException(string message) : Exception(message)
{
    public static WrongServerException PoolerChangedBackend(int from, int to) => new(
        $"it is reached through a pooler in transaction mode (the backend changed from {from} to {to}), where a lock belongs to nobody. "
        + "Use the pooler's session mode, or give JobLocks a connection string past the pooler, to PostgreSQL's own port.");

    public static WrongServerException Standby() => new(
        "it is a standby, whose locks the primary does not see. Name the primary, or all servers: Host=one,two.");

    public static WrongServerException TooOld(int version) => new(
        $"it has version {version / 10_000}, and JobLocks needs 12 or later. Use a later server.");
}

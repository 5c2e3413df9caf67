namespace JobLocks.Keys;

/// <summary>
/// The first numbers of the two-part advisory keys that JobLocks uses for its own work: four letters in ASCII. Every role can see them in pg_locks,
/// so they are no secret.
/// </summary>
internal static class InternalKeys
{
    /// <summary>"JLwt": a process waits for the lock of a key.</summary>
    public const int Waiter = 1246525300;

    /// <summary>"JLin": a process waits for the exclusive lock of a key.</summary>
    public const int WaitingWriter = 1246521710;

    /// <summary>"JLln": a process counts the runs that wait for a key.</summary>
    public const int QueueCount = 1246522478;

    /// <summary>"JLsw": a process sweeps a job store.</summary>
    public const int Sweep = 1246524279;

    /// <summary>"JLst": a process serves a job store.</summary>
    public const int StorePresence = 1246524276;

    /// <summary>"JLs1", the first of nine substitutes for <see cref="StorePresence"/>.</summary>
    public const int FirstStorePresence = 1246524209;

    /// <summary>"JLs9", the last of the nine substitutes.</summary>
    public const int LastStorePresence = 1246524217;

    /// <summary>
    /// The first number of a range from which one is chosen at random where <see cref="StorePresence"/> and its nine substitutes are all held.
    /// </summary>
    public const int FirstRandomStorePresence = 1246560256;

    /// <summary>The last number of that range.</summary>
    public const int LastRandomStorePresence = 1246625791;

    /// <summary>"JLsc": a process or a person sets up the schema.</summary>
    public const int SchemaSetUp = 1246524259;

    /// <summary>
    /// "JLpr": a process opens its session and proves that locks exclude each other. Also the upper half of two <c>bigint</c> keys, which pages leave out.
    /// Their other numbers are random, so no program can hold them all.
    /// </summary>
    public const int Proof = 1246523506;

    /// <summary>The effect on JobLocks while another program holds a lock of this class: what is impeded, and how JobLocks continues.</summary>
    public static string EffectOf(int keyClass, bool isShared) => keyClass switch
    {
        Waiter => "a wait for a lock of that key can end up to a second later",
        WaitingWriter when isShared => "a writer of that key can be bypassed by readers",
        WaitingWriter => "readers of that key are refused",
        QueueCount => "runs of that key with KeepWaiting are counted under a lock on the table declared_limits instead",
        Sweep => "missed wake-ups of that job store are found by a process that holds another internal lock",
        SchemaSetUp => "the schema is set up or upgraded under another internal lock, after a wait of ten seconds",
        _ when isShared => "that job store seems to be served, and its waiting runs hold others back even where no process can start them",
        _ => "that job store is shown as served by another internal lock",
    };
}

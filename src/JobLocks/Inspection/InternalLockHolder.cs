using System.Globalization;
using JobLocks.Keys;
using JobLocks.Primitives;

namespace JobLocks;

/// <summary>Another program than JobLocks that holds advisory locks which JobLocks uses for its own work.</summary>
/// <remarks>
/// In PostgreSQL every role that may connect can acquire every advisory lock. Where possible, JobLocks continues with another lock;
/// <see cref="Effect"/> says how.
/// </remarks>
public sealed class InternalLockHolder
{
    /// <summary>The first number of the locks, which identifies their purpose. <c>classid</c> in <c>pg_locks</c>.</summary>
    public required int Class { get; init; }

    /// <summary>The second number of one of the locks, which is computed from a lock name or a job store. <c>objid</c> in <c>pg_locks</c>.</summary>
    public required int Number { get; init; }

    /// <summary>How many locks of this class the program holds.</summary>
    public required int Count { get; init; }

    /// <summary>Whether the program holds the locks in shared mode.</summary>
    public required bool IsShared { get; init; }

    /// <summary>The process id of the backend of its session: <c>pid</c> in <c>pg_stat_activity</c>. 0 for a prepared transaction.</summary>
    public required int Backend { get; init; }

    /// <summary>The database role of its session; null where it is unknown.</summary>
    public string? Role { get; init; }

    /// <summary>The <c>application_name</c> of its session; null where it has none.</summary>
    public string? Application { get; init; }

    /// <summary>The client address of its session; null where it is local, or where this role may not see it.</summary>
    public string? Address { get; init; }

    /// <summary>What the locks impede, and how JobLocks continues.</summary>
    public string Effect => InternalKeys.EffectOf(Class, IsShared);

    /// <summary>What to run to release the locks: a statement of SQL, or two for a prepared transaction.</summary>
    public string Remedy => Backend == 0
        ? "SELECT * FROM pg_prepared_xacts, then ROLLBACK PREPARED"
        : string.Create(CultureInfo.InvariantCulture, $"SELECT pg_terminate_backend({Backend})");

    /// <summary>One line with the holder, the locks, the effect and the remedy.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{HolderText} holds {LocksText}: {Effect}. To end it: {Remedy}");

    private string LocksText => Count == 1 ? $"the internal lock ({Class}, {Number})" : $"{Count} internal locks of the class {Class}";

    private string HolderText => Backend == 0
        ? "A prepared transaction"
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{(string.IsNullOrEmpty(Application) ? "An application without a name" : $"The application {DisplayText.Name(Application)}")} of the role {DisplayText.Name(Role ?? "(unknown)")} (backend {Backend}{(Address is null ? "" : $" from {Address}")})");
}
